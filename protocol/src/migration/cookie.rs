//! What two hypervisors tell each other of a guest that moves between them.
//!
//! libvirt calls it a cookie and means it to be handed on unread. Here each side reads what its own
//! libvirt said, says it in these words, and the other side writes its own cookie from them: so
//! nothing reaches a hypervisor that its own site has not written. What has no word here is not
//! said, and what a guest of ours never has is refused. Names and UUIDs of guests are not in it:
//! each side knows by itself which guest it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::hull::Hull;

/// The most features of a processor that are named: QEMU knows some three hundred of x86.
pub const FEATURES_MAX: usize = 512;

/// The longest name of a processor's model or feature.
pub const NAME_MAX: usize = 64;

/// The most bytes of a cookie between sites: all the features there may be, with the longest names,
/// and room for the rest.
pub const LIMIT: usize = 48 << 10;

/// What one hypervisor tells another.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cookie {
    /// Which host says it: libvirt takes no guest from its own.
    pub host: [u8; 16],
    /// Whether who reads it has to know of locks on disks. It does, and holds none.
    pub requires_locks: bool,
    /// The disks that go along, in the order of the hull's, with their sizes in bytes.
    pub disks: Vec<u64>,
    /// The processor as the guest sees it, feature by feature.
    pub processor: Option<Processor>,
    /// How it went so far.
    pub statistics: BTreeMap<Statistic, u64>,
    /// By how many milliseconds the clock of whoever finishes is ahead, if it was looked.
    pub clock_ahead: Option<i64>,
    /// What the hypervisor can do in a migration, and whether it does so unasked.
    pub capabilities: BTreeMap<Capability, bool>,
}

/// A processor, feature by feature.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Processor {
    /// The model.
    pub model: Name,
    /// How closely the guest's has to be this one.
    pub check: Check,
    /// What it has beyond the model, or has not although the model has.
    pub features: BTreeMap<Name, Policy>,
}

/// The name of a processor's model or feature: letters, digits and `.-_+`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The text is no name of a model or a feature.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not the name of a processor's model or feature: 1 to {NAME_MAX} letters, digits, .-_+")]
pub struct NotAName;

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NotAName;

    fn try_from(text: String) -> Result<Self, NotAName> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
        let is_name = (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(known);
        if is_name { Ok(Self(text)) } else { Err(NotAName) }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// Defines an enum whose values have the names that libvirt gives them.
macro_rules! named {
    ($(#[$about:meta])* $type:ident { $($(#[$doc:meta])* $value:ident = $name:literal,)+ }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
        )]
        pub enum $type {
            $($(#[$doc])* $value,)+
        }

        impl $type {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$value,)+];

            /// libvirt's name for it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $name,)+
                }
            }

            /// What libvirt calls so.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name() == name)
            }
        }
    };
}

named! {
    /// How closely a guest's processor has to be the one described.
    Check {
        /// Not at all.
        None = "none",
        /// What is described is there.
        Partial = "partial",
        /// And nothing else is.
        Full = "full",
    }
}

named! {
    /// What is said of a feature of a processor.
    Policy {
        /// The guest sees it, whether the host has it or not.
        Force = "force",
        /// The guest sees it, and a host without it does not do.
        Require = "require",
        /// The guest sees it if the host has it.
        Optional = "optional",
        /// The guest does not see it.
        Disable = "disable",
        /// A host that has it does not do.
        Forbid = "forbid",
    }
}

named! {
    /// What a hypervisor can do in a migration (QEMU's `MigrationCapability`).
    Capability {
        /// Send changes of pages.
        Xbzrle = "xbzrle",
        /// Slow down a guest that dirties memory too fast.
        AutoConverge = "auto-converge",
        /// Keep memory in place for RDMA.
        PinForRdma = "rdma-pin-all",
        /// Copy memory after the switch.
        PostCopy = "postcopy-ram",
        /// Compress pages one by one.
        Compress = "compress",
        /// Wait for a word before the switch.
        PauseBeforeSwitchover = "pause-before-switchover",
        /// Take over the disks at the last moment.
        LateBlockActivate = "late-block-activate",
        /// Use several connections.
        Multifd = "multifd",
        /// Take along which blocks are dirty.
        DirtyBitmaps = "dirty-bitmaps",
        /// Have the destination answer.
        ReturnPath = "return-path",
        /// Send without copying.
        ZeroCopySend = "zero-copy-send",
        /// Go on after a break of post-copy.
        PostCopyPreempt = "postcopy-preempt",
        /// Slow down the processors that dirty memory.
        DirtyLimit = "dirty-limit",
        /// Keep memory in files at fixed places.
        MappedRam = "mapped-ram",
    }
}

named! {
    /// How a migration went: times in milliseconds, sizes in bytes, unless it says otherwise.
    Statistic {
        /// When it began, since the beginning of 1970.
        Started = "started",
        /// When the guest's processors stopped.
        Stopped = "stopped",
        /// When this was said.
        Sent = "sent",
        /// How long it has taken.
        TimeElapsed = "time_elapsed",
        /// How long the processors stood still.
        Downtime = "downtime",
        /// How long it took to get under way.
        SetupTime = "setup_time",
        /// Memory to be copied.
        MemoryTotal = "memory_total",
        /// Memory that was copied.
        MemoryProcessed = "memory_processed",
        /// Memory that is left.
        MemoryRemaining = "memory_remaining",
        /// Memory in a second.
        MemoryRate = "memory_bps",
        /// Pages of one value.
        MemoryConstant = "memory_constant",
        /// Other pages.
        MemoryNormal = "memory_normal",
        /// What these take.
        MemoryNormalBytes = "memory_normal_bytes",
        /// Pages that the guest dirties in a second.
        MemoryDirtyRate = "memory_dirty_rate",
        /// How often memory was gone through.
        MemoryIteration = "memory_iteration",
        /// How often a page was asked for in post-copy.
        MemoryPostCopyRequests = "memory_postcopy_requests",
        /// The size of a page.
        MemoryPageSize = "memory_page_size",
        /// Disks to be copied.
        DiskTotal = "disk_total",
        /// Disks that were copied.
        DiskProcessed = "disk_processed",
        /// What is left of disks.
        DiskRemaining = "disk_remaining",
        /// Disks in a second.
        DiskRate = "disk_bps",
        /// The memory that the compression keeps.
        CompressionCache = "compression_cache",
        /// What compressed pages took.
        CompressionBytes = "compression_bytes",
        /// How many pages were compressed.
        CompressionPages = "compression_pages",
        /// How many were not in its memory.
        CompressionCacheMisses = "compression_cache_misses",
        /// How many did not get smaller.
        CompressionOverflow = "compression_overflow",
        /// By how many percent the guest is slowed down.
        AutoConvergeThrottle = "auto_converge_throttle",
    }
}

/// Why what a peer's hypervisor says is not handed on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// Other disks than the hull has, or of other sizes.
    #[error("the other site's hypervisor speaks of other disks than the machine's")]
    Disks,
    /// Another processor than the hull has.
    #[error("the other site's hypervisor speaks of a processor '{model}', not of the machine's")]
    Processor {
        /// Its model.
        model: String,
    },
    /// More features than a processor has.
    #[error("the other site's hypervisor names {count} features; {FEATURES_MAX} are the most")]
    Features {
        /// How many.
        count: usize,
    },
    /// A time or a percentage that cannot be.
    #[error("the other site's hypervisor gives a number for '{name}' that cannot be")]
    Number {
        /// What it is about.
        name: &'static str,
    },
}

/// The largest number that is believed: what a signed number of 64 bits holds, which libvirt makes
/// of some of them.
const NUMBER_MAX: u64 = i64::MAX.unsigned_abs();

/// The largest difference between two clocks that is believed: ten years, in milliseconds.
const CLOCK_AHEAD_MAX: i64 = 10 * 366 * 24 * 3_600 * 1_000;

/// A cookie that a hypervisor may be told which carries a certain hull.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fitting(Cookie);

impl Fitting {
    /// What it says.
    #[must_use]
    pub const fn cookie(&self) -> &Cookie {
        &self.0
    }
}

impl Cookie {
    /// The cookie, if a hypervisor that carries this hull may be told it.
    ///
    /// # Errors
    ///
    /// It speaks of another machine, or in numbers that cannot be.
    pub fn fitting(self, hull: &Hull) -> Result<Fitting, Unfit> {
        self.fits(hull).map(|()| Fitting(self))
    }

    fn fits(&self, hull: &Hull) -> Result<(), Unfit> {
        let sizes = hull.disks.iter().map(|disk| disk.size.bytes());
        if !self.disks.is_empty() && !self.disks.iter().copied().eq(sizes) {
            return Err(Unfit::Disks);
        }
        if let Some(processor) = &self.processor {
            if processor.model.as_str() != hull.processor.name() {
                return Err(Unfit::Processor { model: processor.model.0.clone() });
            }
            let count = processor.features.len();
            if count > FEATURES_MAX {
                return Err(Unfit::Features { count });
            }
        }
        let wrong = self.statistics.iter().find(|(statistic, number)| {
            let most =
                if **statistic == Statistic::AutoConvergeThrottle { 100 } else { NUMBER_MAX };
            **number > most
        });
        match wrong {
            Some((statistic, _)) => Err(Unfit::Number { name: statistic.name() }),
            None if self.clock_ahead.is_some_and(|it| !within(it, CLOCK_AHEAD_MAX)) => {
                Err(Unfit::Number { name: "delta" })
            }
            None => Ok(()),
        }
    }
}

const fn within(number: i64, most: i64) -> bool {
    -most <= number && number <= most
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::hull::Boot;
    use crate::ids::{MachineId, SiteId};
    use crate::units::{Mebibytes, Size};

    fn hull() -> Hull {
        let size = Size { vcpus: 1, memory: Mebibytes(128), disk: Mebibytes(16) };
        let machine = MachineId::from_uuid(Uuid::from_bytes([3; 16]));
        Hull::new(SiteId::from_bytes([7; 32]), machine, size, Boot::Disk, &[])
    }

    fn name(text: &str) -> Name {
        text.to_owned().try_into().unwrap()
    }

    fn right() -> Cookie {
        let features = BTreeMap::from([(name("svm"), Policy::Disable)]);
        let processor = Processor { model: name("qemu64"), check: Check::Full, features };
        Cookie {
            host: [1; 16],
            requires_locks: true,
            disks: vec![16 << 20],
            processor: Some(processor),
            statistics: BTreeMap::from([(Statistic::Downtime, 244)]),
            clock_ahead: Some(-3),
            capabilities: BTreeMap::from([(Capability::Multifd, false)]),
        }
    }

    #[test]
    fn what_belongs_to_the_machine_is_handed_on() {
        for cookie in [right(), Cookie::default()] {
            assert_eq!(cookie.clone().fitting(&hull()).map(|it| it.0), Ok(cookie));
        }
    }

    #[test]
    fn what_speaks_of_another_machine_or_cannot_be_is_not() {
        type Spoil<'a> = &'a dyn Fn(&mut Cookie);
        let spoilt: [(Spoil<'_>, Unfit); 7] = [
            (&|it| it.disks = vec![1 << 40], Unfit::Disks),
            (&|it| it.disks.push(1), Unfit::Disks),
            (
                &|it| it.processor.as_mut().unwrap().model = name("Skylake"),
                Unfit::Processor { model: "Skylake".to_owned() },
            ),
            (
                &|it| {
                    let all = (0..=FEATURES_MAX).map(|it| (name(&it.to_string()), Policy::Force));
                    it.processor.as_mut().unwrap().features = all.collect();
                },
                Unfit::Features { count: FEATURES_MAX + 1 },
            ),
            (
                &|it| _ = it.statistics.insert(Statistic::AutoConvergeThrottle, 101),
                Unfit::Number { name: "auto_converge_throttle" },
            ),
            (
                &|it| _ = it.statistics.insert(Statistic::Sent, u64::MAX),
                Unfit::Number { name: "sent" },
            ),
            (&|it| it.clock_ahead = Some(i64::MIN), Unfit::Number { name: "delta" }),
        ];
        for (spoil, fault) in spoilt {
            let mut cookie = right();
            spoil(&mut cookie);
            assert_eq!(cookie.fitting(&hull()), Err(fault));
        }
    }

    #[test]
    fn a_name_has_nothing_in_it_that_xml_could_take_for_its_own() {
        for text in ["", "a b", "a'", "a<b", "a&amp;", "ä", &"x".repeat(NAME_MAX + 1)] {
            assert_eq!(Name::try_from(text.to_owned()), Err(NotAName), "{text}");
        }
        for text in ["qemu64", "sse4.1", "vmx-apicv-x2apic", "x_y+z"] {
            assert_eq!(name(text).as_str(), text);
        }
    }
}
