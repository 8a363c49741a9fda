//! Machines on one host: libvirt, and a fake with seeded faults.
