//! Damaged files: nothing may panic, hang or need much memory. `FUZZ_CASES` sets the cases per kind.
#![allow(clippy::unwrap_used)]
use flate2::{Compression, write::GzEncoder};
use std::io::Write;
use std::time::{Duration, Instant};
use wgrad::Device;
use wgrad::data::TargetKind;
use wgrad::data::idx::{IdxElement, check_length, header, read_gz, write};
use wgrad::data::table::{Column, EncodedTargets, Encoder, Table, TableOptions, TableSettings, read_table};
use wgrad::train::{Checkpoint, Config, DataConfig, Trainer};

/// xorshift64*
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize) % n.max(1)
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

const TELLING: &[u8] = b",;\t\"\n\r#.-+e0159 ?aN\x00\x01\x08\x1f\x7f\x80\xff\xef\xbb\xbf\xc3";

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.pick(seeds).clone();
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() + 1);
        let end = (at + random.below(40)).min(bytes.len());
        match random.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            2 if at < bytes.len() => bytes[at] = *random.pick(TELLING),
            3 if random.below(4) == 0 => bytes.truncate(at),
            4 => bytes.insert(at, *random.pick(TELLING)),
            5 => {
                let piece = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            6 => drop(bytes.drain(at..end)),
            7 => {
                let other = random.pick(seeds);
                let from = random.below(other.len());
                bytes.splice(at..at, other[from..(from + 20).min(other.len())].iter().copied());
            }
            _ => {}
        }
    }
    bytes
}

fn text_case(random: &mut Random, bytes: &[u8]) -> bool {
    let options = TableOptions {
        delimiter: *random.pick(&[None, None, None, Some(','), Some(';'), Some('\t'), Some(' '), Some('e')]),
        header: *random.pick(&[None, None, Some(true), Some(false)]),
        comment: *random.pick(&[None, None, Some('#'), Some(',')]),
    };
    let Ok(table) = read_table(bytes, &options) else { return false };
    assert!(table.rows() > 0 && table.rows() <= bytes.len() && !table.names.is_empty());
    assert!(table.columns.len() == table.names.len() && table.columns.iter().all(|c| c.len() == table.rows()));
    assert!(table.lines.windows(2).all(|pair| pair[0] < pair[1]) && table.lines[0] >= 1);
    let mut settings = TableSettings { fill_missing: random.below(2) == 0, ..Default::default() };
    for _ in 0..random.below(3) {
        settings.target.push(random.pick(&table.names).clone());
    }
    for (name, column) in table.names.iter().zip(&table.columns) {
        if settings.target.contains(name) {
        } else if matches!(column, Column::Text(_)) || random.below(8) == 0 {
            settings.categories.push(name.clone());
        } else if random.below(8) == 0 {
            settings.ignore.push(name.clone());
        }
    }
    let kind = *random.pick(&[TargetKind::Auto, TargetKind::Classes, TargetKind::Values]);
    let train: Vec<usize> = (0..table.rows()).filter(|_| random.below(4) > 0).collect();
    let Ok(encoder) = Encoder::fit(&table, &settings, kind, &train) else { return false };
    // What the encoder was made from it must be able to encode, if the numbers are not too large.
    let (features, targets) = (encoder.features(&table), encoder.targets(&table));
    for why in [features.as_ref().err(), targets.as_ref().err()].into_iter().flatten() {
        assert!(why.ends_with("is too large for f32"), "{why}");
    }
    if let Ok((values, width)) = features {
        assert_eq!((values.len(), encoder.feature_names().len()), (table.rows() * width, width));
        assert!(values.iter().all(|value| value.is_finite()));
    }
    match targets {
        Ok(EncodedTargets::Classes(classes)) => {
            let count = encoder.class_names().unwrap().len();
            assert!(classes.len() == table.rows() && classes.iter().all(|&class| (class as usize) < count));
        }
        Ok(EncodedTargets::Values { values, width }) => assert_eq!(values.len(), table.rows() * width),
        _ => {}
    }
    let other = Table { names: table.names[..random.below(table.names.len())].to_vec(), ..table.clone() };
    assert!(encoder.features(&other).is_err());
    let other = read_table(&b"a,b,c\n1,x,2\n"[..], &TableOptions::default()).unwrap();
    let _ = (encoder.features(&other), encoder.targets(&other));
    true
}

/// An encoder that comes from a damaged file.
fn encoder_case(_: &mut Random, bytes: &[u8]) -> bool {
    let Ok(encoder) = serde_json::from_slice::<Encoder>(bytes) else { return false };
    let (width, names) = (encoder.width(), encoder.feature_names());
    assert_eq!(names.len(), width);
    let _ = (encoder.target_names(), encoder.class_names());
    for text in ["a,c,y,z\n1,u,x,3\n2,v,w,4\n", "1,u,x,3\n", "1,u,3\n", "1,u\n"] {
        let table = read_table(text.as_bytes(), &TableOptions::default()).unwrap();
        let _ = encoder.targets(&table);
        if let Ok((values, width)) = encoder.features(&table) {
            assert_eq!(values.len(), table.rows() * width);
        }
    }
    true
}

fn idx_case(_: &mut Random, bytes: &[u8]) -> bool {
    let Ok(header) = header(bytes) else { return false };
    let good = check_length(&header, bytes.len() as u64).is_ok();
    let mut values = Vec::new();
    let data = &bytes[header.offset..];
    header.element.format().decode(data, &mut values);
    if good {
        assert_eq!(values.len(), header.count().unwrap());
        assert_eq!(write(header.element, &header.shape, data).unwrap(), bytes);
    }
    good
}

fn gz_case(random: &mut Random, bytes: &[u8]) -> bool {
    let most = random.below(20_000) as u64;
    let unpacked = read_gz(bytes, most);
    assert!(unpacked.as_ref().map_or(0, Vec::len) as u64 <= most);
    unpacked.is_ok()
}

fn checkpoint_case(_: &mut Random, bytes: &[u8]) -> bool {
    let Ok(checkpoint) = Checkpoint::from_bytes(bytes) else { return false };
    checkpoint.epochs() == 1
}

/// The most memory the process has had, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn fuzz(kind: &str, seeds: &[Vec<u8>], case: fn(&mut Random, &[u8]) -> bool) {
    let cases: usize = std::env::var("FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(2_000);
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for seed in seeds {
        case(&mut random, seed);
    }
    let (before, start) = (peak(), Instant::now());
    let (mut good, mut slowest) = (0, Duration::ZERO);
    for _ in 0..cases {
        let bytes = mutate(&mut random, seeds);
        let begin = Instant::now();
        good += usize::from(case(&mut random, &bytes));
        slowest = slowest.max(begin.elapsed());
    }
    let (seconds, more) = (start.elapsed().as_secs_f64(), peak() - before);
    println!("{kind}: {cases} cases, {good} valid, {seconds:.1} s, slowest {slowest:.1?}, {more} KiB more memory");
    assert!(slowest < Duration::from_secs(10) && more < 8 * 1024);
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One test, so that kinds do not share the peak of memory.
#[test]
fn damaged_files() {
    let seeds = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let csv = seeds(&[
        "\u{feff}a,b,\"c \"\"d\"\"\",y\r\n1,red,\"x, y\",0\r\n2.5,blue,\"x\r\nz\",1\r\n,red,é,0\r\n4,red,?,1\r\n",
        "5.1,3.5,1.4,0.2,Iris-setosa\n7.0,3.2,4.7,1.4,Iris-versicolor\n6.3,3.3,6.0,2.5,Iris-virginica\n",
        "# note\nx\n1\n\n2\n\"\"\n1e300\n",
        "0,1,1\n1,2,0\n0,3,1\n1,4,0\n",
    ]);
    fuzz("csv", &csv, text_case);
    let semicolon = seeds(&["x;y;z\n1,5;2;a\n2,5;3,25;b\n-0,1;NA;a\n", "1,5;0\r\n2,5;1\r\n3,5;0\r\n"]);
    fuzz("csv with semicolons", &semicolon, text_case);
    let tsv = seeds(&["a\tb\tc\n1\t\"two\t2\"\t3\n4\tfive\tnan\n", "1\t2\n3\t4\n5\t6\n", "n\tm\r1\tx\r2\ty\r"]);
    fuzz("tsv", &tsv, text_case);
    let table = read_table(&b"a,c,y,z\n1,u,x,3\n?,v,w,4\n"[..], &TableOptions::default()).unwrap();
    let mut encoders = Vec::new();
    for (target, ignore) in [("y", "z"), ("z", "y")] {
        let strings = |name: &str| vec![name.to_string()];
        let (target, categories, ignore) = (strings(target), strings("c"), strings(ignore));
        let settings = TableSettings { target, categories, ignore, fill_missing: true };
        let encoder = Encoder::fit(&table, &settings, TargetKind::Auto, &[0, 1]).unwrap();
        encoders.push(serde_json::to_vec(&encoder).unwrap());
    }
    fuzz("encoder", &encoders, encoder_case);
    let mut files = Vec::new();
    for element in IdxElement::ALL {
        let data: Vec<u8> = (0..12 * element.size()).map(|at| (at * 37) as u8).collect();
        let file = write(element, &[3, 2, 2], &data).unwrap();
        fuzz(&format!("idx {element:?}"), std::slice::from_ref(&file), idx_case);
        files.push(file);
    }
    let mut packed: Vec<Vec<u8>> = files.iter().chain(&csv).map(|file| gz(file)).collect();
    packed.push([gz(b"first "), gz(b""), gz(b"third")].concat());
    packed.push(gz(&vec![0; 1_000_000]));
    fuzz("gz", &packed, gz_case);
    let config = Config {
        epochs: 2,
        data: DataConfig { num_samples: Some(500), ..DataConfig::default() },
        ..Config::preset("logistic").unwrap()
    };
    let mut trainer = Trainer::new(&config, &config.data.load().unwrap(), Device::cpu()).unwrap();
    trainer.epoch().unwrap();
    fuzz("checkpoint", &[trainer.checkpoint().unwrap().to_bytes().unwrap()], checkpoint_case);
}
