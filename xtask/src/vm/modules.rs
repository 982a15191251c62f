//! Kernel modules, uncompressed, and those they need.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Writes these modules of a kernel, and those they need first, to a folder as `00-NAME.ko`,
/// `01-NAME.ko`: in the order in which they load. One that the kernel has built in, or not at all, is passed over.
pub(crate) fn collect(modules: &Path, wanted: &[&str], to: &Path) -> anyhow::Result<()> {
    let mut files = BTreeMap::new();
    find(&modules.join("kernel"), &mut files)?;
    let mut order = Vec::new();
    for name in wanted {
        add(name, &files, &mut order)?;
    }
    for (at, (name, bytes)) in order.iter().enumerate() {
        let path = to.join(format!("{at:02}-{name}.ko"));
        fs::write(&path, bytes).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// All modules below a folder by name.
fn find(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry
            .with_context(|| format!("reading {}", folder.display()))?
            .path();
        if path.is_dir() {
            find(&path, files)?;
        } else if let Some((name, _)) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.split_once(".ko"))
        {
            files.insert(canonical(name), path);
        }
    }
    Ok(())
}

/// File names have dashes where the kernel says underscores.
fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

fn add(
    name: &str,
    files: &BTreeMap<String, PathBuf>,
    order: &mut Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    let name = canonical(name);
    if order.iter().any(|(known, _)| *known == name) {
        return Ok(());
    }
    let Some(file) = files.get(&name) else {
        return Ok(());
    };
    let bytes = read(file)?;
    for needed in needs(&bytes) {
        add(&needed, files, order)?;
    }
    order.push((name, bytes));
    Ok(())
}

/// A module's bytes; Debian compresses with xz.
fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => Ok(bytes),
        Some("xz") => {
            let mut plain = Vec::new();
            lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut plain)
                .map_err(|error| anyhow::anyhow!("{error}"))
                .with_context(|| format!("uncompressing {}", file.display()))?;
            Ok(plain)
        }
        _ => bail!(
            "{} is compressed in a way that is not known here",
            file.display()
        ),
    }
}

/// The modules that a module says it needs: `depends=a,b` in its section `.modinfo`, between two NULs.
fn needs(module: &[u8]) -> Vec<String> {
    module
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"depends="))
        .map(String::from_utf8_lossy)
        .unwrap_or_default()
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let net = folder.path().join("kernel/net");
        fs::create_dir_all(&net).unwrap();
        let module = |name: &str, depends: &str| {
            let bytes = format!("\x7fELF\0license=GPL\0depends={depends}\0name=x\0");
            fs::write(net.join(name), bytes).unwrap();
        };
        module("top.ko", "mid-dle,base,built_in");
        module("mid_dle.ko", "base");
        module("base.ko", "");
        module("other.ko", "");
        let to = folder.path().join("to");
        fs::create_dir(&to).unwrap();
        collect(folder.path(), &["top", "absent", "base"], &to).unwrap();
        assert_eq!(
            kprof_tests::names(&to),
            ["00-base.ko", "01-mid_dle.ko", "02-top.ko"]
        );
    }
}
