//! Secrets in files of their own, as Docker and Kubernetes hand them over: `CRYPTO_API_SECRET_FILE` and its like name one.
//!
//! Such a file is judged as all that decides who may do what. That everybody can read it is no fault below `/run/secrets`:
//! the container keeps others out, and both make it 0444 there. The value counts as one of the source that names the file,
//! so that a key beside it and the secret are a pair.

use std::path::PathBuf;

use super::{
    names,
    report::{Origin, Problems},
    sources::Sources,
    variables::{Variable, Variables, check_mode, read_text},
};

/// Where Docker and Kubernetes put secrets.
const OF_CONTAINERS: [&str; 2] = ["/run/secrets", "/var/run/secrets"];

/// Adds the values of the files that the variables name.
pub(super) fn read(
    mut variables: Variables,
    sources: &Sources,
    problems: &mut Problems,
) -> Variables {
    for name in names::secrets() {
        let pointer = names::file_of(name);
        let beside = variables.find(name).map(|beside| beside.origin.clone());
        let Some(named) = variables.find(&pointer) else {
            continue;
        };
        let (path, origin) = (PathBuf::from(named.value.trim()), named.origin.clone());
        if let Some(beside) = beside {
            let text = format!("{name} is set, too ({beside})");
            problems.error(&pointer, &origin, text, "keep one of the two");
            continue;
        }
        let Some(mut value) = read_text(&path, sources.trusted(), problems) else {
            variables.unreadable = true;
            continue;
        };
        if !OF_CONTAINERS.iter().any(|place| path.starts_with(place)) {
            check_mode(&path, problems);
        }
        let one_line_less = value.strip_suffix('\n').map_or(value.len(), str::len);
        value.truncate(one_line_less);
        let layer = variables.layers.iter_mut().find(|layer| {
            let named = layer.variables.get(&pointer);
            named.is_some_and(|named| named.origin == origin)
        });
        let variable = Variable {
            value,
            origin: Origin::File(path),
            quoted: false,
        };
        if let Some(layer) = layer {
            layer.variables.insert(name.to_owned(), variable);
        }
    }
    variables
}
