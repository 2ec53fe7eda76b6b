//! `[storage]`: the instance store and where it is mounted.

use std::path::PathBuf;

use crate::config::Section;

#[derive(Clone, Debug)]
pub struct Settings {
    pub mount: PathBuf,
    /// The NVMe model string that marks an instance store. Another one only in virtual machines.
    pub model: String,
    pub uid: u32,
    pub gid: u32,
}

impl Settings {
    pub fn read(section: &mut Section<'_>) -> Self {
        Self {
            mount: section.or("mount", PathBuf::from("/workspace/weaviate")),
            // sysfs `model` of a Nitro instance store; EBS says "Amazon Elastic Block Store" (EC2 User Guide, "Amazon
            // EBS and NVMe").
            model: section.or("model", "Amazon EC2 NVMe Instance Storage".to_owned()),
            uid: section.or("uid", 1000),
            gid: section.or("gid", 1000),
        }
    }
}
