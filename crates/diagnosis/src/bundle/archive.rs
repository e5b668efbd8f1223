//! Files → one ustar archive.
//!
//! Guarantees: regular files of mode 0600 in one folder, owned by 0:0, all with the same time: nothing of this machine but
//! the contents. Does not: compress; a support desk opens it with anything.

use std::io;

use tar::{Builder, EntryType, Header};

use super::File;

/// The archive, in memory.
pub(super) fn tar(folder: &str, files: &[File], mtime_s: u64) -> io::Result<Vec<u8>> {
    let mut builder = Builder::new(Vec::new());
    let header = |kind: EntryType, mode: u32, size: usize| {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(mtime_s);
        header.set_size(size as u64);
        header
    };
    builder.append_data(
        &mut header(EntryType::Directory, 0o700, 0),
        format!("{folder}/"),
        io::empty(),
    )?;
    for File { name, text, .. } in files {
        let mut header = header(EntryType::Regular, 0o600, text.len());
        builder.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
    }
    builder.into_inner()
}
