//! The log of changes that SQLite writes beside the file (`-wal`), looked over before SQLite reads it.
//!
//! SQLite takes what comes before the first frame that is not whole, and drops what comes behind it without a word: so it
//! recovers from a power cut, in which the last commit was not finished. But each commit is synced before the next one is
//! written. Where several commits stand behind the break, the disk lost what it had: names that were used would be free.
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
        is_whole &= sum.is_at(&frame, 16);
        commits_behind += u32::from(!is_whole && word(&frame, 4) != 0);
    }
    Ok((commits_behind > 1).then_some("its log of changes (-wal) is not whole"))
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
