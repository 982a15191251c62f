//! (being built)
pub(super) fn run(_run: &super::run::Run) -> anyhow::Result<String> {
    anyhow::bail!("not there yet")
}
