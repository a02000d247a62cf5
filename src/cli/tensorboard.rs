//! `wgrad train --tensorboard`: the scores of each epoch as a TensorBoard event file.
//!
//! The format is TensorFlow's record file: for each record its length as 8 bytes, a masked CRC-32C of these, the data
//! and a masked CRC-32C of them, all little-endian. The data are a protocol buffer, `Event` of TensorFlow's
//! `event.proto`, of which four fields are used: `wall_time` (1, double), `step` (2, varint), `file_version` (3, text),
//! `summary` (5), a message of `value`s (1) with `tag` (1, text) and `simple_value` (2, float).

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use wgrad::Error;
use wgrad::train::EpochRecord;

/// An event file, written record by record.
pub(super) struct EventFile {
    path: PathBuf,
    file: File,
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

impl EventFile {
    /// Creates `DIR/events.out.tfevents.TIME.wgrad`, which TensorBoard finds by its name.
    pub(super) fn create(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(format!("events.out.tfevents.{}.wgrad", now() as u64));
        let file = File::create(&path).map_err(|e| Error::file(&path, format!("cannot be created: {e}")))?;
        let mut events = EventFile { path, file };
        let mut event = Message::default();
        event.double(1, now());
        event.bytes(3, b"brain.Event:2");
        events.write(&event)?;
        Ok(events)
    }

    /// Appends an epoch's scores and learning rate, at its number as the step.
    pub(super) fn epoch(&mut self, record: &EpochRecord) -> Result<(), Error> {
        let mut summary = Message::default();
        let mut add = |tag: String, value: f64| {
            let mut scalar = Message::default();
            scalar.bytes(1, tag.as_bytes());
            scalar.float(2, value as f32);
            summary.bytes(1, &scalar.0);
        };
        for (set, scores) in record.scores.iter() {
            scores.iter().for_each(|(metric, value)| add(format!("{metric}/{}", set.name()), value));
        }
        add("lr".into(), record.lr);
        let mut event = Message::default();
        event.double(1, now());
        event.varint(2, u64::from(record.epoch));
        event.bytes(5, &summary.0);
        self.write(&event)
    }

    fn write(&mut self, event: &Message) -> Result<(), Error> {
        let length = (event.0.len() as u64).to_le_bytes();
        let record = [&length[..], &masked(&length).to_le_bytes(), &event.0, &masked(&event.0).to_le_bytes()].concat();
        let written = self.file.write_all(&record).and_then(|()| self.file.flush());
        written.map_err(|e| Error::file(&self.path, format!("could not write: {e}")))
    }
}

/// TensorFlow's masked checksum.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol buffer message under construction.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn number(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
    fn key(&mut self, field: u64, kind: u64) {
        self.number(field << 3 | kind);
    }
    fn varint(&mut self, field: u64, value: u64) {
        self.key(field, 0);
        self.number(value);
    }
    fn double(&mut self, field: u64, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.key(field, 2);
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
    fn float(&mut self, field: u64, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use wgrad::train::{Metric, Scores, SetScores};

    /// The bytes of an event, as TensorFlow's own writer makes them.
    #[test]
    fn records_are_those_of_tensorflow() {
        let mut scalar = Message::default();
        scalar.bytes(1, b"loss/train");
        scalar.float(2, 0.5);
        let mut summary = Message::default();
        summary.bytes(1, &scalar.0);
        let mut event = Message::default();
        event.double(1, 1.5);
        event.varint(2, 300);
        event.bytes(5, &summary.0);
        let expected = b"\x09\0\0\0\0\0\0\xf8\x3f\x10\xac\x02\x2a\x13\x0a\x11\x0a\x0aloss/train\x15\0\0\0\x3f";
        assert_eq!(event.0, expected);
        // The first record of any event file is the length 24 of its version: TensorFlow's checksum of these 8 bytes.
        assert_eq!(masked(&24u64.to_le_bytes()), 0x224b_7fa3);
    }

    #[test]
    fn a_file_holds_a_record_for_each_epoch() {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(dir.path()).unwrap();
        let train = Scores::new([(Metric::Loss, 1.0), (Metric::Error, 50.0)]);
        let scores = SetScores { train, val: None, test: None };
        for epoch in 1..=3 {
            let record = EpochRecord { epoch, running_loss: 0.0, scores: scores.clone(), lr: 0.1, seconds: 0.0 };
            events.epoch(&record).unwrap();
        }
        let bytes = std::fs::read(&events.path).unwrap();
        let (mut at, mut records) = (0, 0);
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let data = &bytes[at + 12..at + 12 + length];
            let sum = u32::from_le_bytes(bytes[at + 12 + length..][..4].try_into().unwrap());
            assert_eq!(masked(data), sum);
            (at, records) = (at + 16 + length, records + 1);
        }
        assert_eq!(records, 4);
    }
}
