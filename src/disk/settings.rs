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
        let uid = section.or("uid", 1000);
        if uid == 0 {
            // The volume's identity and the keys' file are kept from the server by their owner.
            section.problem("uid", "is 0: the server must not run as root");
        }
        Self {
            mount: section.or("mount", PathBuf::from("/workspace/weaviate")),
            // sysfs `model` of a Nitro instance store; EBS says "Amazon Elastic Block Store" (EC2 User Guide, "Amazon
            // EBS and NVMe").
            model: section.or("model", "Amazon EC2 NVMe Instance Storage".to_owned()),
            uid,
            gid: section.or("gid", 1000),
        }
    }
}
