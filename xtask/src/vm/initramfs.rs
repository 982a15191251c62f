//! Archives that a kernel unpacks as its first file system: cpio, "newc", one after the other in a file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context as _;
use cpio::newc::{Builder, ModeFileType, trailer};

/// One archive that is being written.
pub(crate) struct Archive<W: Write> {
    writer: Option<W>,
    inode: u32,
}

impl Archive<BufWriter<File>> {
    /// An archive in a file of its own.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self::to(BufWriter::new(file)))
    }
}

impl<W: Write> Archive<W> {
    /// An archive at the end of what was written before.
    pub(crate) fn to(writer: W) -> Self {
        Self {
            writer: Some(writer),
            inode: 0,
        }
    }

    /// A folder, readable for everybody; those above it come first.
    pub(crate) fn folder(&mut self, path: &str) -> anyhow::Result<()> {
        self.entry(path, ModeFileType::Directory, 0o755, &[])
    }

    /// A file that everybody may read and run.
    pub(crate) fn file(&mut self, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
        self.entry(path, ModeFileType::Regular, 0o755, bytes)
    }

    /// A copy of a file.
    pub(crate) fn copy(&mut self, path: &str, from: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
        self.file(path, &bytes)
    }

    fn entry(
        &mut self,
        path: &str,
        kind: ModeFileType,
        mode: u32,
        bytes: &[u8],
    ) -> anyhow::Result<()> {
        self.inode += 1;
        let size = u32::try_from(bytes.len()).context("a file for a guest is over 4 GiB")?;
        let writer = self.writer.take().context("an earlier file failed")?;
        let mut entry = Builder::new(path)
            .ino(self.inode)
            .mode(mode)
            .set_mode_file_type(kind)
            .write(writer, size);
        entry
            .write_all(bytes)
            .with_context(|| format!("writing {path} for a guest"))?;
        self.writer = Some(
            entry
                .finish()
                .with_context(|| format!("writing {path} for a guest"))?,
        );
        Ok(())
    }

    /// Ends the archive and gives the writer back.
    pub(crate) fn finish(mut self) -> anyhow::Result<W> {
        let writer = self.writer.take().context("an earlier file failed")?;
        let mut writer = trailer(writer).context("ending an archive for a guest")?;
        writer.flush().context("ending an archive for a guest")?;
        Ok(writer)
    }
}
