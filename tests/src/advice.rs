//! What `kprof doctor` says.

use std::process::Output;

use serde_json::Value;

/// One look at a machine.
#[derive(Debug)]
pub struct Advice {
    /// Whether kprof can record, as the exit code says too.
    pub can_record: bool,
    checks: Vec<Value>,
}

impl Advice {
    /// Reads what `kprof doctor --json` printed; panics where that and its exit code don't agree.
    pub fn read(output: &Output) -> Advice {
        let said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let can_record = said["can_record"] == true;
        assert_eq!(output.status.success(), can_record, "{output:?}");
        let checks = said["checks"].as_array().expect("a list of checks").clone();
        Advice { can_record, checks }
    }

    /// The status of one check.
    pub fn status(&self, name: &str) -> &str {
        let check = self.checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("no check {name}: {self:?}"));
        check["status"].as_str().unwrap_or_default()
    }

    /// Whether a line gives cause and mend of a lack of this status.
    pub fn explains(&self, status: &str, line: &str) -> bool {
        let told = |check: &Value, part: &str| {
            let text = check[part].as_str();
            text.is_some_and(|text| line.contains(text))
        };
        let mut checks = self.checks.iter();
        checks.any(|check| check["status"] == status && told(check, "why") && told(check, "mend"))
    }
}
