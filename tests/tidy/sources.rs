//! Every file by itself.

use super::{none, tracked};

/// The longest file, in lines: what can be read in one sitting.
const LINES_MAX: usize = 600;

#[test]
fn every_source_file_begins_by_saying_what_it_is() {
    let mut faults = Vec::new();
    for file in tracked().iter().filter(|file| file.is_rust()) {
        if !file.bytes.starts_with(b"//! ") {
            faults.push(format!("{} does not begin with '//! '", file.path));
        }
    }
    none(&faults);
}

#[test]
fn no_source_file_is_longer_than_can_be_read_in_one_sitting() {
    let mut faults = Vec::new();
    for file in tracked().iter().filter(|file| file.is_rust()) {
        let lines = file.text().map_or(0, |text| text.lines().count());
        if lines > LINES_MAX {
            faults.push(format!("{} has {lines} lines, more than {LINES_MAX}", file.path));
        }
    }
    none(&faults);
}

#[test]
fn nothing_is_left_for_later() {
    // In halves, so that this file does not find itself.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["unimple", "mented!"], ["to", "do!"]];
    find(&marks.map(|halves| halves.concat()));
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let places = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], [".cargo/", "registry"]];
    let hosts = [["arti", "factory"], [".inter", "nal/"], [".cor", "p/"], [".local", "domain"]];
    let marks: Vec<String> = places.iter().chain(&hosts).map(|halves| halves.concat()).collect();
    find(&marks);
}

/// No text file contains any of `marks`. The lock file is cargo's, not ours to word.
fn find(marks: &[String]) {
    let mut faults = Vec::new();
    for file in tracked().iter().filter(|file| file.path != "Cargo.lock") {
        let Some(text) = file.text() else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(mark) = marks.iter().find(|mark| line.contains(mark.as_str())) {
                faults.push(format!("{}:{number} says '{mark}': {line}", file.path));
            }
        }
    }
    none(&faults);
}

/// What lies in a `src` folder is put into a program or a guest by it, and not run from here.
#[test]
fn what_names_its_interpreter_can_be_run() {
    let mut faults = Vec::new();
    for file in tracked() {
        let names_one = file.bytes.starts_with(b"#!/");
        let is_source = file.path.split('/').any(|part| part == "src");
        if names_one && !file.executable && !is_source {
            faults.push(format!("{} names its interpreter and is not executable", file.path));
        }
        if file.executable && !names_one {
            faults.push(format!("{} is executable and names no interpreter", file.path));
        }
    }
    none(&faults);
}
