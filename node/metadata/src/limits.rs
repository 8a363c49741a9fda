//! How much one machine gets of the service, and how long it may take.
//!
//! A guest may be broken or hostile. What it can cost is its connections times some twenty
//! kilobytes, and its share of requests; the next guest does not notice.

use std::time::Duration;

/// How often something may happen: so many times at once, and so many times a second from then on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// At once, after a rest.
    pub burst: u32,
    /// In each second.
    pub per_second: u32,
}

/// The limits of a server. [`Default`] has those that are meant; tests have shorter times.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Connections at once, of all machines of one network on this host. More of them wait in the
    /// kernel, which has a limit of its own.
    pub connections: usize,
    /// Connections at once of one machine. More of them are hung up on.
    pub connections_each: u32,
    /// Requests of one machine.
    pub requests: Rate,
    /// KPIs from one machine, among its requests.
    pub pushes: Rate,
    /// How long the head of a request may take, counted from the end of the last one.
    pub head_time: Duration,
    /// How long its body may take.
    pub body_time: Duration,
    /// How long the site may take to say who somebody is, or to take a KPI.
    pub source_time: Duration,
    /// How long a connection lasts, whatever is done on it.
    pub connection_time: Duration,
    /// How long an answer that was begun may still take when the connection's time is over; and how
    /// long the kernel sends what nobody acknowledges.
    pub close_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Hosts carry some hundred guests; most ask once, when they start.
            connections: 1_024,
            // A guest's programs ask one thing after the other, a few of them at the same time.
            connections_each: 16,
            // cloud-init asks for all that there is, some eighty requests, without a pause.
            requests: Rate { burst: 256, per_second: 32 },
            // Rules look at windows of seconds: a few measures, each once a second.
            pushes: Rate { burst: 32, per_second: 8 },
            // The caller is on the same bridge; it is quick unless it does not want to be.
            head_time: Duration::from_secs(5),
            body_time: Duration::from_secs(5),
            // Longer than a leader's election is not worth waiting for: the guest asks again.
            source_time: Duration::from_secs(2),
            // All of a boot, on one connection.
            connection_time: Duration::from_secs(60),
            close_time: Duration::from_secs(5),
        }
    }
}

/// The most header lines of a request; clients send about six.
pub(crate) const HEADERS_MAX: usize = 32;

/// The most bytes that a connection buffers of what it reads: the head has to fit. hyper takes no
/// fewer.
pub(crate) const BUFFER_MAX: usize = 8 << 10;

/// The longest body: the value of a KPI, with room for blanks.
pub(crate) const BODY_MAX: usize = 64;
