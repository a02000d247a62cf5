//! Data sets against the published `mnist1d` package and files written by NumPy (see `fixtures/make_data_fixtures.py`).

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use wgrad::data::npy::{self, NpyArray};
use wgrad::data::{Dataset, Mnist1dConfig, Mnist1dPreset, Split, generate, load_folder, save_folder, write_mnist1d};
use wgrad::{Error, Result};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn max_abs_diff(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max)
}

fn labels(values: &[f64]) -> Vec<i64> {
    values.iter().map(|&v| v as i64).collect()
}

/// The message of an expected error, which must name a file.
fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error:?}");
    error.to_string()
}

mod mnist1d {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        config: Mnist1dConfig,
        rows: usize,
        train_rows: usize,
    }

    #[test]
    fn every_configuration_equals_the_published_package() {
        let cases: Vec<Case> =
            serde_json::from_str(&fs::read_to_string(fixture("mnist1d/cases.json")).unwrap()).unwrap();
        let npz = wgrad::data::npz::read(fixture("mnist1d/cases.npz")).unwrap();
        let array = |name: String| npz[&name].array.values.clone();
        for case in cases {
            let data = generate(&case.config).unwrap();
            assert_eq!((data.rows, data.train_rows), (case.rows, case.train_rows), "{}", case.name);
            let t = array(format!("{}_t", case.name));
            assert!(max_abs_diff(&data.t, &t) <= 1e-12, "{}", case.name);
            let (x, y, from) = if case.name == "paper" {
                let x = npy::read_finite(fixture("mnist1d/x_test.npy")).unwrap().values;
                (x, labels(&npy::read(fixture("mnist1d/y_test.npy")).unwrap().values), data.train_rows)
            } else {
                (array(format!("{}_x", case.name)), labels(&array(format!("{}_y", case.name))), 0)
            };
            let worst = max_abs_diff(data.x_rows(from..data.rows), &x);
            assert!(worst <= 1e-12, "{}: {worst:e}", case.name);
            assert_eq!(data.y_rows(from..data.rows), y, "{}", case.name);
        }
    }

    #[test]
    fn the_udl_preset_equals_the_courses_files() {
        let course = load_folder(fixture("course")).unwrap();
        let data = generate(&Mnist1dConfig::udl()).unwrap();
        let ours = data.dataset(Mnist1dPreset::Udl).unwrap();
        assert_eq!((course.classes, course.train.sample_shape()), (10, &[40][..]));
        assert_eq!(ours.splits().map(|(_, s)| s.rows()).collect::<Vec<_>>(), [4000, 2000, 2000]);
        for ((_, ours), (name, theirs)) in ours.splits().zip(course.splits()) {
            let all: Vec<u32> = (0..theirs.rows() as u32).collect();
            assert!(ours.select(&all).unwrap() == *theirs, "{name}");
        }
    }

    #[test]
    fn written_files_read_back_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let config = Mnist1dConfig::udl().with_num_samples(500).with_seed(3);
        let data = generate(&config).unwrap();
        for (preset, count) in [(Mnist1dPreset::Paper, 4), (Mnist1dPreset::Udl, 6)] {
            let folder = dir.path().join(format!("new/{preset:?}"));
            let files = write_mnist1d(&config, preset, &folder).unwrap();
            assert_eq!((files.len(), fs::read_dir(&folder).unwrap().count()), (count, count));
            assert!(files.iter().all(|f| f.exists()));
            assert_eq!(load_folder(&folder).unwrap(), data.dataset(preset).unwrap());
            // Writing again replaces the files.
            write_mnist1d(&config, preset, &folder).unwrap();
        }
        let x = npy::read(dir.path().join("new/Paper/x_train.npy")).unwrap();
        assert_eq!(x, NpyArray { shape: vec![400, 40], values: data.x_rows(0..400).to_vec() });
        let header = fs::read(dir.path().join("new/Udl/y_val.npy")).unwrap();
        assert!(String::from_utf8_lossy(&header[..80]).contains("'<i8'"));

        let error = message(write_mnist1d(&config, Mnist1dPreset::Paper, dir.path().join("new/Udl")));
        assert!(error.contains("x_val.npy") && error.contains("another data set"), "{error}");
        let none = Mnist1dConfig { train_split: 0.0, ..config };
        assert!(write_mnist1d(&none, Mnist1dPreset::Paper, dir.path()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_settings_make_a_normalised_data_set_or_an_error(
            num_samples in 0usize..60, template_len in 0usize..20, low in 0usize..40, more in 0usize..40,
            max_translation in 0usize..100, final_seq_length in 0usize..50, scale in -2.0f64..2.0,
            shuffle_seq: bool, seed: u32,
        ) {
            let config = Mnist1dConfig {
                num_samples, template_len, padding: [low, low + more], max_translation, final_seq_length, shuffle_seq,
                scale_coeff: scale, corr_noise_scale: scale, ..Mnist1dConfig::paper().with_seed(seed.into())
            };
            if let Ok(data) = generate(&config) {
                prop_assert_eq!(data.x.len(), data.rows * data.features);
                let count = data.x.len() as f64;
                let mean = data.x.iter().sum::<f64>() / count;
                let variance = data.x.iter().map(|v| v * v).sum::<f64>() / count;
                prop_assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-9, "{} {}", mean, variance);
                prop_assert!((0..10).all(|c| data.y.iter().filter(|&&y| y == c).count() * 10 == data.rows));
            } else {
                prop_assert!(num_samples < 10 || template_len < 2 || max_translation == 0 || final_seq_length == 0);
            }
        }
    }
}

mod npy_files {
    use super::*;

    fn fixtures(prefix: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(fixture("npy")).unwrap().map(|e| e.unwrap().path());
        files.filter(|p| p.file_name().unwrap().to_str().unwrap().starts_with(prefix)).collect()
    }

    #[test]
    fn every_numeric_type_and_order_reads_the_same() {
        let expected = NpyArray { shape: vec![2, 3], values: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0] };
        let files = fixtures("good_");
        assert_eq!(files.len(), 42);
        for file in files {
            assert_eq!(npy::read_finite(&file).unwrap(), expected, "{}", file.display());
        }
        let read = |name: &str| npy::read(fixture("npy").join(name)).unwrap();
        assert_eq!(read("bool.npy").values, [1.0, 0.0, 1.0]);
        assert_eq!(read("scalar.npy"), NpyArray { shape: vec![], values: vec![1.5] });
        assert_eq!(read("empty.npy"), NpyArray { shape: vec![3, 0, 2], values: vec![] });
        assert_eq!(read("fortran_3d.npy").values, (0..24).map(f64::from).collect::<Vec<_>>());
    }

    #[test]
    fn other_types_are_refused_by_name() {
        let files = fixtures("bad_");
        assert_eq!(files.len(), 7);
        for file in files {
            let error = message(npy::read(&file));
            assert!(error.contains(file.to_str().unwrap()) && error.contains("wgrad reads only floats"), "{error}");
        }
    }

    #[test]
    fn what_is_not_finite_is_found() {
        let path = fixture("npy/not_finite.npy");
        assert!(npy::read(&path).unwrap().values[2].is_nan());
        let error = message(npy::read_finite(&path));
        assert!(error.contains("[1, 0]") && error.contains("NaN"), "{error}");
    }

    #[test]
    fn missing_files_folders_and_other_files_are_refused() {
        assert!(message(npy::read("no/such.npy")).starts_with("no/such.npy: could not open"));
        assert!(message(npy::read(fixture("npy"))).contains("is not a file"));
        assert!(message(npy::read(fixture("make_data_fixtures.py"))).contains("does not begin with"));
        #[cfg(unix)]
        assert!(message(npy::read("/dev/zero")).contains("is not a file"));
    }

    /// A version-1 file with this header text and data.
    fn file_of(dir: &Path, header: &str, data: &[u8]) -> PathBuf {
        let path = dir.join("file.npy");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        fs::write(&path, bytes).unwrap();
        path
    }

    #[test]
    fn headers_that_promise_too_much_are_refused_before_allocating() {
        let dir = tempfile::tempdir().unwrap();
        let try_shape = |shape: &str| {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
            message(npy::read(file_of(dir.path(), &header, &[0; 16])))
        };
        assert!(try_shape("(3,)").contains("truncated: its header says 3 elements of 8 bytes, 16 bytes follow"));
        assert!(try_shape("(1,)").contains("has 8 bytes after the 8"));
        assert!(try_shape("(1000000, 1000000)").contains("truncated"));
        assert!(try_shape("(4611686018427387904,)").contains("truncated"));
        assert!(try_shape("(18446744073709551615, 2)").contains("impossibly large"));
        assert!(try_shape("(0, 18446744073709551615, 2)").contains("impossibly large"));
        assert!(try_shape("(-1,)").contains("`-1`"));
        assert!(try_shape("2").contains("not a list"));
        let nested = format!("{{'shape': (2,), 'a': {}1{}}}", "{".repeat(60), "}".repeat(60));
        assert!(message(npy::read(file_of(dir.path(), &nested, &[]))).contains("not that of an array"));
        let escaped = r"{'descr': '<f8', 'fortran_order': False, 'sh\x61pe': (18446744073709551615, 2)}";
        assert!(message(npy::read(file_of(dir.path(), escaped, &[]))).contains("not that of an array"));
        let huge = dir.path().join("huge.npy");
        fs::write(&huge, b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}").unwrap();
        assert!(message(npy::read(&huge)).contains("its header has 4294967295 bytes"));
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["fortran_3d.npy", "good_version2.npy", "good_u1.npy"] {
            let bytes = fs::read(fixture("npy").join(name)).unwrap();
            let path = dir.path().join(name);
            for length in 0..bytes.len() {
                fs::write(&path, &bytes[..length]).unwrap();
                assert!(message(npy::read(&path)).contains(name));
            }
            fs::write(&path, &bytes).unwrap();
            assert!(npy::read(&path).is_ok());
        }
    }

    #[test]
    fn a_shape_that_does_not_fit_the_values_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npy");
        assert!(message(npy::write(&path, &[2, 2], &[1.0f32; 3])).contains("[2, 2] does not match 3"));
        assert!(message(npy::write(&path, &[usize::MAX, 2], &[1.0f32; 3])).contains("does not match"));
        assert!(!path.exists());
        npy::write(&path, &[3], &[1u32, 2, u32::MAX]).unwrap();
        assert_eq!(npy::read(&path).unwrap().values, [1.0, 2.0, 4294967295.0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arrays_round_trip(values in prop::collection::vec(any::<f64>(), 0..50), int: i64, float: f32) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.npy");
            npy::write(&path, &[1, values.len()], &values).unwrap();
            let back = npy::read(&path).unwrap();
            prop_assert_eq!(&back.shape, &[1, values.len()]);
            let bits = |v: &[f64]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&back.values), bits(&values));
            npy::write(&path, &[], &[int]).unwrap();
            prop_assert_eq!(npy::read(&path).unwrap().values[0], int as f64);
            npy::write(&path, &[], &[float]).unwrap();
            prop_assert_eq!(npy::read(&path).unwrap().values[0].to_bits(), f64::from(float).to_bits());
        }

        #[test]
        fn damaged_files_never_panic(at in 0usize..90, with: u8, text in "[ -~]{0,80}") {
            let dir = tempfile::tempdir().unwrap();
            let mut bytes = fs::read(fixture("npy/good_little_f8.npy")).unwrap();
            bytes[at] = with;
            let path = dir.path().join("x.npy");
            fs::write(&path, &bytes).unwrap();
            let _ = npy::read(&path);
            let _ = npy::read(file_of(dir.path(), &text, &[0; 8]));
            let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({text}), }}");
            let _ = npy::read(file_of(dir.path(), &header, &[0; 8]));
            let header = format!("{{'descr': '{text}', 'fortran_order': False, 'shape': (1,), }}");
            let _ = npy::read(file_of(dir.path(), &header, &[0; 8]));
        }
    }
}

mod folders {
    use super::*;

    /// A folder to put arrays into.
    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            Folder(tempfile::tempdir().unwrap())
        }
        fn put(&self, name: &str, shape: &[usize], values: &[f64]) -> &Self {
            npy::write(self.0.path().join(name), shape, values).unwrap();
            self
        }
        fn load(&self) -> Result<Dataset> {
            load_folder(self.0.path())
        }
    }

    fn sample(split: &Split, row: u32) -> Vec<f32> {
        split.x.read([row]).unwrap()
    }

    fn count(n: usize) -> Vec<f64> {
        (0..n).map(|v| v as f64).collect()
    }

    /// Four samples of two features, with labels 0 to 3.
    fn good() -> Folder {
        let folder = Folder::new();
        folder.put("x_train.npy", &[4, 2], &count(8)).put("y_train.npy", &[4], &count(4));
        folder
    }

    #[test]
    fn either_orientation_is_recognised() {
        let data = good().load().unwrap();
        assert_eq!((data.classes, data.train.rows(), data.val, data.test), (4, 4, None, None));
        assert_eq!(sample(&data.train, 1), (&[2.0, 3.0][..]));

        let folder = Folder::new();
        folder.put("train_data_x.npy", &[2, 4], &count(8)).put("train_data_y.npy", &[4, 1], &count(4));
        // Square, so its orientation is the train split's.
        folder.put("test_data_x.npy", &[2, 2], &count(4)).put("test_data_y.npy", &[1, 2], &[0.0, 1.0]);
        let data = folder.load().unwrap();
        assert_eq!(sample(&data.train, 1), (&[1.0, 5.0][..]));
        assert_eq!(sample(&data.test.unwrap(), 1), (&[1.0, 3.0][..]));

        let folder = Folder::new();
        folder.put("x_train.npy", &[3, 3], &count(9)).put("y_train.npy", &[3], &count(3));
        assert_eq!(sample(&folder.load().unwrap().train, 1), (&[3.0, 4.0, 5.0][..]));
    }

    #[test]
    fn the_shape_of_a_sample_is_kept() {
        let folder = Folder::new();
        folder.put("x_train.npy", &[4, 3, 2], &count(24)).put("y_train.npy", &[4], &count(4));
        folder.put("x_val.npy", &[3, 2, 5], &count(30)).put("y_val.npy", &[5], &[0.0; 5]);
        let data = folder.load().unwrap();
        assert_eq!((data.train.sample_shape(), data.train.features()), (&[3, 2][..], 6));
        assert_eq!(sample(&data.train, 1)[0], 6.0);
        assert_eq!(sample(&data.val.unwrap(), 1), (&[1.0, 6.0, 11.0, 16.0, 21.0, 26.0][..]));
        let folder = Folder::new();
        folder.put("x_train.npy", &[4], &count(4)).put("y_train.npy", &[4], &count(4));
        assert_eq!(folder.load().unwrap().train.sample_shape(), [1]);
    }

    #[test]
    fn saved_data_sets_read_back_the_same() {
        let split = |rows: usize| {
            let y = (0..rows as u32).map(|row| row % 3).collect();
            Split::new((0..rows * 6).map(|v| v as f32 / 7.0).collect(), y, [2, 3]).unwrap()
        };
        let data = Dataset::new(split(9), None, Some(split(5)), 3).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = save_folder(dir.path().join("a/b"), &data).unwrap();
        assert_eq!(files.len(), 4);
        assert_eq!(load_folder(dir.path().join("a/b")).unwrap(), data);
        fs::write(dir.path().join("plain"), "").unwrap();
        assert!(message(save_folder(dir.path().join("plain"), &data)).contains("plain: could not create"));
        // The last file cannot be written, so none is.
        fs::create_dir_all(dir.path().join("c/y_test.npy")).unwrap();
        assert!(message(save_folder(dir.path().join("c"), &data)).contains("y_test.npy"));
        assert_eq!(fs::read_dir(dir.path().join("c")).unwrap().count(), 1);
    }

    #[test]
    fn missing_files_are_named() {
        assert!(message(load_folder("no/such/folder")).contains("no/such/folder"));
        assert!(message(load_folder(fixture("course/train_data_x.npy"))).contains("is not a folder"));
        let error = message(Folder::new().load());
        assert!(error.contains("x_train.npy and y_train.npy") && error.contains("train_data_x.npy"), "{error}");
        let missing = |name: &str, put: &[&str]| {
            let folder = Folder::new();
            put.iter().for_each(|name| {
                folder.put(name, &[2], &[0.0, 1.0]);
            });
            let error = message(folder.load());
            assert!(error.ends_with(&format!("{name}: is missing")), "{error}");
        };
        missing("y_train.npy", &["x_train.npy"]);
        missing("x_train.npy", &["y_train.npy"]);
        missing("x_train.npy", &["x_test.npy", "y_test.npy"]);
        missing("y_val.npy", &["x_train.npy", "y_train.npy", "x_val.npy"]);
        missing("test_data_x.npy", &["train_data_x.npy", "train_data_y.npy", "test_data_y.npy"]);
        let both = good();
        both.put("val_data_x.npy", &[1], &[0.0]);
        assert!(message(both.load()).contains("both"));
    }

    #[test]
    fn bad_content_is_named_with_its_place() {
        let check = |name: &str, shape: &[usize], values: &[f64], parts: &[&str]| {
            let folder = good();
            folder.put("x_test.npy", &[2, 2], &count(4)).put("y_test.npy", &[2], &[0.0, 3.0]);
            assert!(folder.load().is_ok());
            folder.put(name, shape, values);
            let error = message(folder.load());
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        };
        check("y_train.npy", &[3], &count(3), &["x_train.npy", "[4, 2]", "3 labels"]);
        check("y_train.npy", &[4], &[0.0, 1.0, 1.5, 0.0], &["y_train.npy", "row 2 is 1.5"]);
        check("y_train.npy", &[4], &[0.0, -1.0, 1.0, 0.0], &["y_train.npy", "row 1 is -1"]);
        check("y_train.npy", &[4], &[0.0, 1.0, 1.0, f64::NAN], &["y_train.npy", "row 3 is NaN"]);
        check("y_train.npy", &[4], &[0.0, 1.0, 1.0, f64::INFINITY], &["y_train.npy", "row 3 is inf"]);
        check("y_train.npy", &[4], &[0.0, 1.0, 1.0, 4e9], &["row 3 is 4000000000", "at most 1048576"]);
        check("y_train.npy", &[4, 2], &[0.0; 8], &["y_train.npy", "one-hot"]);
        check("y_train.npy", &[], &[0.0], &["y_train.npy", "(N,)"]);
        check("y_train.npy", &[0], &[], &["y_train.npy", "no labels"]);
        check("y_test.npy", &[2], &[0.0, 4.0], &["y_test.npy", "row 1 is 4", "4 classes"]);
        check("x_train.npy", &[4, 0], &[], &["x_train.npy", "[4, 0]"]);
        check("x_train.npy", &[], &[1.0], &["x_train.npy", "[]"]);
        check("x_train.npy", &[5, 3], &count(15), &["x_train.npy", "[5, 3]", "4 labels"]);
        check("x_train.npy", &[4, 1, 1, 1, 1, 1, 2], &count(8), &["x_train.npy", "rank 7"]);
        check("x_test.npy", &[2, 3], &count(6), &["x_test.npy", "[3]", "x_train.npy", "[2]"]);
        check("x_test.npy", &[2, 2], &[0.0, 0.0, 0.0, f64::NAN], &["x_test.npy", "[1, 1]", "NaN"]);
        check("x_test.npy", &[2, 2], &[0.0, 1e39, 0.0, 0.0], &["x_test.npy", "[0, 1]", "1e39", "f32"]);
    }
}
