//! Values by their paths, as one version of the interface has them.

use std::fmt::Display;

use hyper::body::Bytes;

use crate::answer::Content;
use crate::version::Version;

/// A directory or a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Entry {
    /// What it has is listed.
    Directory(Directory),
    /// It is shown.
    Value(Content, Bytes),
}

/// Entries by name, in the order in which they are listed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Directory {
    version: Version,
    entries: Vec<Named>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Named {
    name: String,
    /// How a listing shows it.
    label: String,
    entry: Entry,
}

impl Directory {
    /// An empty directory. Only what this version has gets into it.
    pub(crate) const fn new(version: Version) -> Self {
        Self { version, entries: Vec::new() }
    }

    /// Adds a value that is there since a version.
    pub(crate) fn value(&mut self, since: &'static str, name: impl Display, value: impl Display) {
        let name = name.to_string();
        let entry = Entry::Value(Content::Text, value.to_string().into());
        self.add(since, Named { label: name.clone(), name, entry });
    }

    /// Adds a value that is there since a version, if there is one.
    pub(crate) fn value_if(
        &mut self,
        since: &'static str,
        name: &str,
        value: Option<impl Display>,
    ) {
        if let Some(value) = value {
            self.value(since, name, value);
        }
    }

    /// Adds a value of one line each, if there are any.
    pub(crate) fn lines<T: Display>(
        &mut self,
        since: &'static str,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) {
        let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
        if !values.is_empty() {
            self.value(since, name, values.join("\n"));
        }
    }

    /// Adds a directory that is there since a version, if there is anything in it.
    pub(crate) fn directory(&mut self, since: &'static str, name: impl Display, inner: Self) {
        let label = format!("{name}/");
        self.labelled(since, name, label, inner);
    }

    /// Adds a directory as [`directory`](Self::directory) does, listed in other words.
    pub(crate) fn labelled(
        &mut self,
        since: &'static str,
        name: impl Display,
        label: String,
        inner: Self,
    ) {
        if !inner.entries.is_empty() {
            let entry = Entry::Directory(inner);
            self.add(since, Named { name: name.to_string(), label, entry });
        }
    }

    /// Adds bytes that are not text.
    pub(crate) fn bytes(&mut self, since: &'static str, name: &str, bytes: Bytes) {
        let entry = Entry::Value(Content::Bytes, bytes);
        self.add(since, Named { name: name.to_owned(), label: name.to_owned(), entry });
    }

    fn add(&mut self, since: &'static str, named: Named) {
        if Version(since) <= self.version {
            self.entries.push(named);
        }
    }

    /// The names in it, one a line, without a line break at the end.
    pub(crate) fn listing(&self) -> String {
        let labels: Vec<&str> = self.entries.iter().map(|named| named.label.as_str()).collect();
        labels.join("\n")
    }

    /// What is at a path.
    pub(crate) fn find(self, path: &[String]) -> Option<Entry> {
        let Some((first, rest)) = path.split_first() else {
            return Some(Entry::Directory(self));
        };
        let named = self.entries.into_iter().find(|named| named.name == *first)?;
        match named.entry {
            Entry::Directory(inner) => inner.find(rest),
            Entry::Value(..) if !rest.is_empty() => None,
            value @ Entry::Value(..) => Some(value),
        }
    }
}
