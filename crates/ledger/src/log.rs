//! The log of changes that SQLite writes beside the file (`-wal`), looked over before SQLite reads it.
//!
//! SQLite takes what comes before the first frame that is not whole, and drops what comes behind it without a word: so it
//! recovers from a power cut, in which the last commit was not finished. But each commit is synced before the next one is
//! written. Where several commits stand behind the break, one after the other, the disk lost what it had: names that were
//! used would be free. A commit whose sync failed is written over by the next one, and its end may still stand there: the
//! ends of several such commits do not follow each other.
//! Guarantees: nothing is written. Does not: find that the last commit of all is missing; nothing tells that.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// The first four bytes, where its checksums are of little-endian words; the next number stands for the others.
const MAGIC: u32 = 0x377f_0682;

/// What is wrong with the log; `None`: nothing, or there is none.
pub(crate) fn damage(path: &Path) -> io::Result<Option<&'static str>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => BufReader::new(opened?),
    };
    let mut header = [0; HEADER];
    if !fill(&mut file, &mut header)? || header == [0; HEADER] {
        return Ok(None);
    }
    let magic = word(&header, 0);
    let mut sum = Sum {
        of: [0; 2],
        is_little: magic == MAGIC,
    };
    sum.add(header.get(..24).unwrap_or_default());
    let page = usize::try_from(word(&header, 8)).unwrap_or_default();
    let is_known = magic & !1 == MAGIC && (512..=65536).contains(&page);
    if !is_known || !sum.is_at(&header, 24) {
        return Ok(Some("the head of its log of changes (-wal) is not whole"));
    }
    let mut frame = vec![0; FRAME_HEADER + page];
    let mut is_whole = true;
    let mut commits_behind = 0;
    while fill(&mut file, &mut frame)? {
        // What was written before the log began anew.
        if frame.get(8..16) != header.get(16..24) {
            is_whole = false;
            continue;
        }
        sum.add(frame.get(..8).unwrap_or_default());
        sum.add(frame.get(FRAME_HEADER..).unwrap_or_default());
        if !sum.is_at(&frame, 16) {
            is_whole = false;
            commits_behind = 0;
            sum.of = [word(&frame, 16), word(&frame, 20)];
        }
        commits_behind += u32::from(!is_whole && word(&frame, 4) != 0);
        if commits_behind > 1 {
            return Ok(Some("its log of changes (-wal) is not whole"));
        }
    }
    Ok(None)
}

/// Whether there was as much as that.
fn fill(file: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match file.read_exact(bytes) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| true),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes
        .get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok());
    bytes.map_or(0, u32::from_be_bytes)
}

/// SQLite's checksum, which goes on from frame to frame.
struct Sum {
    of: [u32; 2],
    is_little: bool,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let [mut first, mut second] = self.of;
        for pair in bytes.chunks_exact(8) {
            let [one, other] = [word(pair, 0), word(pair, 4)].map(|word| {
                if self.is_little {
                    word.swap_bytes()
                } else {
                    word
                }
            });
            first = first.wrapping_add(one).wrapping_add(second);
            second = second.wrapping_add(other).wrapping_add(first);
        }
        self.of = [first, second];
    }

    fn is_at(&self, bytes: &[u8], at: usize) -> bool {
        self.of == [word(bytes, at), word(bytes, at + 4)]
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const PAGE: usize = 512;

    /// A log in which these commits were written, each from this frame on and with so many frames.
    fn log(commits: &[(usize, usize)]) -> Vec<u8> {
        let mut log = [MAGIC, 0, PAGE as u32, 0, 7, 8]
            .map(u32::to_be_bytes)
            .concat();
        let mut sums = vec![end_with_sum(&mut log, [0; 2])];
        for (number, &(from, frames)) in commits.iter().enumerate() {
            sums.truncate(from + 1);
            for at in from..from + frames {
                let is_last = at + 1 == from + frames;
                let mut frame = [1, u32::from(is_last)].map(u32::to_be_bytes).concat();
                frame.resize(8 + PAGE, number as u8 + 1);
                let sum = end_with_sum(&mut frame, sums[at]);
                let page = frame.split_off(8);
                frame.extend([7, 8].map(u32::to_be_bytes).concat());
                frame.extend(&page[PAGE..]);
                frame.extend(&page[..PAGE]);
                let place = HEADER + at * (FRAME_HEADER + PAGE);
                log.resize(log.len().max(place + frame.len()), 0);
                log[place..place + frame.len()].copy_from_slice(&frame);
                sums.push(sum);
            }
        }
        log
    }

    fn end_with_sum(bytes: &mut Vec<u8>, before: [u32; 2]) -> [u32; 2] {
        let mut sum = Sum {
            of: before,
            is_little: true,
        };
        sum.add(bytes);
        bytes.extend(sum.of.map(u32::to_be_bytes).concat());
        sum.of
    }

    fn is_damaged(log: &[u8]) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        fs::write(&path, log).unwrap();
        damage(&path).unwrap().is_some()
    }

    #[test]
    fn ends_of_commits_whose_sync_failed_are_no_damage() {
        // Each is written over by the next one, which is shorter, until the disk takes one.
        let failed = log(&[(0, 3), (3, 9), (3, 7), (3, 5), (3, 3), (3, 1)]);
        assert!(!is_damaged(&failed));
        assert!(!is_damaged(&log(&[(0, 3), (3, 2), (5, 4)])));
    }

    #[test]
    fn commits_that_follow_each_other_behind_a_break_are_damage() {
        let whole = log(&[(0, 2), (2, 3), (5, 2), (7, 2)]);
        let flipped = |frame: usize| {
            let mut log = whole.clone();
            log[HEADER + frame * (FRAME_HEADER + PAGE) + 100] ^= 1;
            is_damaged(&log)
        };
        let damaged: Vec<_> = (0..9).map(flipped).collect();
        assert_eq!(damaged, [[true; 7].as_slice(), &[false; 2]].concat());
        // The end of a commit whose sync failed does not hide it.
        let mut both = log(&[(0, 2), (2, 3), (5, 2), (7, 9), (7, 2), (9, 2)]);
        both[HEADER + 3 * (FRAME_HEADER + PAGE) + 100] ^= 1;
        assert!(is_damaged(&both));
    }
}
