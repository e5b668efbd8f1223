//! Changes of the callers: add, rotate, revoke.
//!
//! One change at a time; a file with faults is not touched. What takes access away is stored in the revocations before
//! the file says so, and what gives access after it: a crash in between never leaves more access than was asked for. A
//! generation number is never issued twice, even after an older file was restored. A secret is handed out once.

use std::{fs::File, io, path::Path};

use jiff::Timestamp;
use toml::Spanned;
use zeroize::Zeroizing;

use super::{
    CallerFiles, CallerText, CallersError, Entry, FileText, GenerationText, Master, Revocation,
    Revocations, TOKEN_PREFIX, entry, file,
};
use gateway::{
    secret::TokenDigest,
    virtual_key::{CallerId, VirtualKey, VirtualSecret},
};

/// Readable by the daemon, which has a user of its own; nothing in it is secret.
const FILE_MODE: u32 = 0o644;

/// The callers, held for one change.
#[derive(Debug)]
pub struct Edit<'a> {
    files: &'a CallerFiles,
    text: FileText,
    revocations: Revocations,
    now_ms: u64,
    _lock: File,
}

/// What is handed to a caller, once.
#[derive(Debug)]
pub struct Issued {
    /// Its name.
    pub name: String,
    /// The number of this generation.
    pub generation: u32,
    /// Its token.
    pub token: IssuedToken,
    /// Its virtual key; `None` for a caller that may only diagnose.
    pub signing: Option<(VirtualKey, VirtualSecret)>,
    /// When the generation before it ends.
    pub former_until: Option<String>,
}

/// A token as its owner has to write it down.
pub struct IssuedToken(Zeroizing<String>);

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[token]")
    }
}

impl IssuedToken {
    /// The text, for the one time that it is given to its owner.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl<'a> Edit<'a> {
    /// Locks the callers; waits for another edit to end.
    ///
    /// # Errors
    /// The file or the marks cannot be used as they are.
    pub fn begin(files: &'a CallerFiles, now_ms: u64) -> Result<Self, CallersError> {
        let lock = lock_files(&files.file)?;
        let (text, entries) = read(files)?;
        let revocations = if entries.is_empty() {
            Revocations::read(files)?
        } else {
            Revocations::of_callers(files)?
        };
        Ok(Self {
            files,
            text,
            revocations,
            now_ms,
            _lock: lock,
        })
    }

    /// Adds a caller with the name and the policy of this text.
    ///
    /// # Errors
    /// The name is taken, the policy has faults, or something cannot be written.
    pub fn issue(mut self, wanted: CallerText) -> Result<Issued, CallersError> {
        if self.text.find(&wanted.name).is_ok() {
            return Err(CallersError::Exists(wanted.name));
        }
        let id = CallerId::new(random(&self.files.file)?);
        let created = text::time::rfc3339(self.now_ms);
        let token = self.token()?;
        let generation = generation(1, &token, created.clone());
        let (name, diagnose) = (wanted.name.clone(), wanted.diagnose);
        let caller = CallerText {
            id: id.to_string(),
            created,
            generations: vec![generation],
            ..wanted
        };
        self.text.callers.push(Spanned::new(0..0, caller));
        self.check()?;
        let signing = self.signing(id, 1, diagnose)?;
        self.write()?;
        Ok(Issued {
            name,
            generation: 1,
            token,
            signing,
            former_until: None,
        })
    }

    /// Issues a new generation; the one before ends after `grace_ms`.
    ///
    /// # Errors
    /// There is no such caller, or a rotation is under way.
    pub fn rotate(mut self, name: &str, grace_ms: u64) -> Result<Issued, CallersError> {
        self.drop_ended(name)?;
        let token = self.token()?;
        let (issued, until_ms) = (
            text::time::rfc3339(self.now_ms),
            self.now_ms.saturating_add(grace_ms),
        );
        let until = text::time::rfc3339(until_ms);
        let caller = self.text.find(name)?;
        if caller.generations.len() > 1 {
            return Err(CallersError::Rotating(name.to_owned()));
        }
        let id =
            CallerId::parse(&caller.id).ok_or_else(|| CallersError::Unknown(name.to_owned()))?;
        let newest = caller
            .generations
            .iter()
            .map(|generation| generation.number)
            .max()
            .unwrap_or(0);
        let number = newest.max(self.revocations.of(id).newest) + 1;
        caller
            .generations
            .iter_mut()
            .for_each(|former| former.until = Some(until.clone()));
        caller.generations.push(generation(number, &token, issued));
        let diagnose = caller.diagnose;
        self.check()?;
        let signing = self.signing(id, number, diagnose)?;
        self.write()?;
        Ok(Issued {
            name: name.to_owned(),
            generation: number,
            token,
            signing,
            former_until: Some(until),
        })
    }

    /// Ends a rotation: only the newest generation is valid from the next start.
    ///
    /// # Errors
    /// There is no such caller, or no rotation.
    pub fn finish(mut self, name: &str) -> Result<u32, CallersError> {
        let caller = self.text.find(name)?;
        let newest = caller
            .generations
            .pop()
            .filter(|_| !caller.generations.is_empty());
        let newest = newest.ok_or_else(|| CallersError::NotRotating(name.to_owned()))?;
        let (number, id) = (newest.number, CallerId::parse(&caller.id));
        caller.generations = vec![newest];
        if let Some(id) = id {
            self.revocations.merge_one(
                id,
                Revocation {
                    newest: number,
                    lowest: number,
                    ..Revocation::default()
                },
            );
        }
        self.revocations = self.revocations.store(self.files)?;
        self.write()?;
        Ok(number)
    }

    /// Takes a caller's access away for good.
    ///
    /// # Errors
    /// There is no such caller, or something cannot be written.
    pub fn revoke(mut self, name: &str) -> Result<(), CallersError> {
        let caller = self.text.find(name)?;
        if let Some(id) = CallerId::parse(&caller.id) {
            self.revocations.revoke(id);
        }
        self.text
            .callers
            .retain(|caller| caller.get_ref().name != name);
        self.revocations = self.revocations.store(self.files)?;
        self.write()
    }

    /// Takes everybody's access away and makes a new master key; works on files that are damaged or lost. How many
    /// callers there were; `None` where the file cannot tell.
    ///
    /// # Errors
    /// Something cannot be written, or the master key is a credential that has to be replaced where it comes from.
    pub fn revoke_all(files: &'a CallerFiles, now_ms: u64) -> Result<Option<usize>, CallersError> {
        let lock = lock_files(&files.file)?;
        let (text, known) = match read(files) {
            Ok((text, entries)) => (text, Some(entries.len())),
            Err(_) => (FileText::empty(), None),
        };
        let mut revocations = match Revocations::read(files) {
            Ok(revocations) => revocations,
            Err(CallersError::Revocations(..) | CallersError::Distrusted(..)) => {
                file::set_aside(&files.revocations()?)?;
                Revocations::default()
            }
            Err(problem) => return Err(problem),
        };
        text.callers
            .iter()
            .filter_map(|caller| CallerId::parse(&caller.get_ref().id))
            .for_each(|id| revocations.revoke(id));
        let revocations = revocations.store(files)?;
        let mut edit = Self {
            files,
            text: FileText::empty(),
            revocations,
            now_ms,
            _lock: lock,
        };
        // Without callers first: from here on nobody has access, whatever becomes of the master key.
        edit.write()?;
        edit.text.master_check = Some(Master::replace(files)?.key.check());
        edit.write()?;
        Ok(known)
    }

    /// An older generation whose end has come is none any more.
    fn drop_ended(&mut self, name: &str) -> Result<(), CallersError> {
        let caller = self.text.find(name)?;
        let ended = |until: &String| {
            until.parse::<Timestamp>().is_ok_and(|at| {
                at.as_millisecond() <= i64::try_from(self.now_ms).unwrap_or(i64::MAX)
            })
        };
        caller
            .generations
            .retain(|generation| !generation.until.as_ref().is_some_and(ended));
        let lowest = caller
            .generations
            .first()
            .map_or(0, |generation| generation.number);
        if let Some(id) = CallerId::parse(&caller.id) {
            self.revocations.merge_one(
                id,
                Revocation {
                    newest: lowest,
                    lowest,
                    ..Revocation::default()
                },
            );
        }
        Ok(())
    }

    fn signing(
        &mut self,
        id: CallerId,
        generation: u32,
        diagnose: bool,
    ) -> Result<Option<(VirtualKey, VirtualSecret)>, CallersError> {
        if diagnose {
            return Ok(None);
        }
        let master = match &self.text.master_check {
            Some(check) => Master::of_callers(self.files, Some(check))?,
            None => match Master::find(self.files)? {
                Some(master) => master,
                None => Master::make(self.files)?,
            },
        };
        self.text.master_check = Some(master.key.check());
        let key = VirtualKey { id, generation };
        Ok(Some((key, master.key.secret_of(&key))))
    }

    /// What would be written has no faults.
    fn check(&self) -> Result<Vec<Entry>, CallersError> {
        entry::parse(&self.rendered()?)
            .map(|(_, entries)| entries)
            .map_err(|mut faults| {
                let first = faults.remove(0);
                let others = if faults.is_empty() {
                    String::new()
                } else {
                    format!(" (and {} more)", faults.len())
                };
                CallersError::Unfit(
                    format!("{}: {}{others}", first.key, first.text),
                    first.remedy,
                )
            })
    }

    fn rendered(&self) -> Result<String, CallersError> {
        self.text.render().map_err(|error| {
            CallersError::Unwritable(self.files.file.clone(), io::Error::other(error))
        })
    }

    /// Writes the file, and remembers what it says.
    fn write(&mut self) -> Result<(), CallersError> {
        // Callers without marks do not exist, also after a crash.
        self.revocations = self.revocations.store(self.files)?;
        file::replace(&self.files.file, &self.rendered()?, FILE_MODE)?;
        for entry in &self.check()? {
            self.revocations.merge_entry(entry);
        }
        self.revocations = self.revocations.store(self.files)?;
        Ok(())
    }

    fn token(&self) -> Result<IssuedToken, CallersError> {
        let bytes = Zeroizing::new(random::<32>(&self.files.file)?);
        let mut token = Zeroizing::new(String::with_capacity(TOKEN_PREFIX.len() + 64));
        token.push_str(TOKEN_PREFIX);
        token.push_str(&Zeroizing::new(hex::encode(bytes.as_ref())));
        Ok(IssuedToken(token))
    }
}

/// Reads the callers; none where there is no file.
///
/// # Errors
/// The file cannot be read, or has faults.
pub(super) fn read(files: &CallerFiles) -> Result<(FileText, Vec<Entry>), CallersError> {
    match file::read(&files.file, files.trusted())? {
        None => Ok((FileText::empty(), Vec::new())),
        Some(text) => {
            entry::parse(&text).map_err(|faults| CallersError::Faulty(files.file.clone(), faults))
        }
    }
}

fn lock_files(file: &Path) -> Result<File, CallersError> {
    if let Some(directory) = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty())
    {
        file::make_directory(directory, 0o755)?;
    }
    file::lock(file)
}

fn generation(number: u32, token: &IssuedToken, issued: String) -> GenerationText {
    let token_sha256 = TokenDigest::of(token.reveal().as_bytes()).to_hex();
    GenerationText {
        number,
        token_sha256,
        issued,
        until: None,
    }
}

fn random<const BYTES: usize>(place: &Path) -> Result<[u8; BYTES], CallersError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| CallersError::Unwritable(place.to_owned(), io::Error::other(error)))?;
    Ok(bytes)
}
