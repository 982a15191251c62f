//! A place where any user can run kprof.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{kprof, names};

/// A folder that anybody can use, with a kprof that anybody can run.
#[derive(Debug)]
pub struct Place {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Default for Place {
    fn default() -> Place {
        Place::new()
    }
}

impl Place {
    /// Makes one; it goes with the value.
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let bin = folder.path().join("bin");
        let program = bin.join("kprof");
        std::fs::create_dir(&bin).expect("a folder for kprof");
        std::fs::copy(kprof().get_program(), &program).expect("a copy of kprof");
        for path in [folder.path(), &bin, &program] {
            set_mode(path, 0o755);
        }
        let place = Place { folder, program };
        make(&place.out());
        place
    }

    /// Where kprof is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The folder where kprof runs.
    pub fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// A new folder that anybody can write to.
    pub fn folder(&self) -> PathBuf {
        let number = names(self.folder.path()).len();
        let folder = self.folder.path().join(number.to_string());
        make(&folder);
        folder
    }

    /// What was written where kprof runs.
    pub fn written(&self) -> Vec<String> {
        names(&self.out())
    }

    /// kprof, in [`Place::out`].
    pub fn kprof(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.out()).stdin(Stdio::null());
        command
    }
}

/// Makes a folder for everybody's outputs.
fn make(folder: &Path) {
    std::fs::create_dir(folder).expect("a folder for outputs");
    set_mode(folder, 0o777);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set a mode");
}
