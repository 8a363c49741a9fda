//! What a site does: the daemon and the command line.
