//! The versions of the interface.

/// The versions that EC2 lists, oldest first. Each shows what there was at its date.
pub(crate) const VERSIONS: [Version; 29] = [
    Version("1.0"),
    Version("2007-01-19"),
    Version("2007-03-01"),
    Version("2007-08-29"),
    Version("2007-10-10"),
    Version("2007-12-15"),
    Version("2008-02-01"),
    Version("2008-09-01"),
    Version("2009-04-04"),
    Version("2011-01-01"),
    Version("2011-05-01"),
    Version("2012-01-12"),
    Version("2014-02-25"),
    Version("2014-11-05"),
    Version("2015-10-20"),
    Version("2016-04-19"),
    Version("2016-06-30"),
    Version("2016-09-02"),
    Version("2018-03-28"),
    Version("2018-08-17"),
    Version("2018-09-24"),
    Version("2019-10-01"),
    Version("2020-08-24"),
    Version("2020-10-27"),
    Version("2021-01-03"),
    Version("2021-03-23"),
    Version("2021-07-15"),
    Version("2022-09-24"),
    Version("latest"),
];

/// A version: a date, or one of the words before the first and after the last date. They are in
/// the order of their text.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version(pub(crate) &'static str);

impl Version {
    /// The version of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        VERSIONS.into_iter().find(|version| version.0 == name)
    }
}
