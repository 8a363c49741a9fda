//! What clients asked of registers and were told, and whether one order of it explains all that
//! they were told: whether it is linearizable.
//!
//! The judge is stateright's. Each register has a history of its own: all of it is linearizable if
//! each part is (Herlihy and Wing, "Linearizability: A Correctness Condition for Concurrent
//! Objects", 1990, theorem 1), and the search for an order stays short.
//!
//! An operation of which a client has heard nothing has no return. It may have been done at any
//! later time, or never.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Result, anyhow, ensure};
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};

/// What a register has; none, before it is written for the first time.
pub(crate) type Value = Option<u32>;

/// What is asked of a register.
pub(crate) type Op = RegisterOp<Value>;

/// What was told of it.
pub(crate) type Told = RegisterRet<Value>;

/// One operation, by its number in the history.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Call(usize);

#[derive(Clone, Debug)]
enum Event {
    Asked(Op),
    Told(Told),
}

/// What was asked and told, in the order of time.
#[derive(Debug, Default)]
pub(crate) struct History {
    events: Vec<(usize, Call, Event)>,
    calls: usize,
}

impl History {
    /// An operation begins.
    pub(crate) fn asked(&mut self, register: usize, op: Op) -> Call {
        let call = Call(self.calls);
        self.calls += 1;
        self.events.push((register, call, Event::Asked(op)));
        call
    }

    /// An operation has ended.
    pub(crate) fn told(&mut self, register: usize, call: Call, told: Told) {
        self.events.push((register, call, Event::Told(told)));
    }

    /// How many reads were answered, writes were answered, and writes were not.
    pub(crate) fn census(&self) -> [usize; 3] {
        let count = |is: fn(&Event) -> bool| self.events.iter().filter(|it| is(&it.2)).count();
        let read = count(|event| matches!(event, Event::Told(RegisterRet::ReadOk(_))));
        let written = count(|event| matches!(event, Event::Told(RegisterRet::WriteOk)));
        let begun = count(|event| matches!(event, Event::Asked(RegisterOp::Write(_))));
        [read, written, begun - written]
    }

    /// Refuses what no order explains.
    pub(crate) fn judge(&self) -> Result<()> {
        let mut parts: BTreeMap<usize, Vec<&(usize, Call, Event)>> = BTreeMap::new();
        for event in &self.events {
            parts.entry(event.0).or_default().push(event);
        }
        for (register, part) in parts {
            // Each operation is a thread of its own: real time alone says what came before what.
            let mut tester = LinearizabilityTester::new(Register(Value::None));
            for (_, call, event) in &part {
                let noted = match event {
                    Event::Asked(op) => tester.on_invoke(*call, op.clone()),
                    Event::Told(told) => tester.on_return(*call, told.clone()),
                };
                noted.map_err(|fault| anyhow!("register {register}: {fault}"))?;
            }
            ensure!(
                tester.is_consistent(),
                "no order explains what was told of register {register}:\n{}",
                spelt(&part)
            );
        }
        Ok(())
    }
}

fn spelt(part: &[&(usize, Call, Event)]) -> String {
    let mut text = String::new();
    for (_, Call(call), event) in part {
        // To write to a text cannot fail.
        let _ = match event {
            Event::Asked(op) => writeln!(text, "{call:6} asked {op:?}"),
            Event::Told(told) => writeln!(text, "{call:6} told  {told:?}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITTEN: Told = RegisterRet::WriteOk;

    const fn write(value: u32) -> Op {
        RegisterOp::Write(Some(value))
    }

    const fn read(value: Value) -> Told {
        RegisterRet::ReadOk(value)
    }

    /// A history of one register, in which each operation ends before the next one begins.
    fn sequence(done: &[(Op, Told)]) -> History {
        let mut history = History::default();
        for (op, told) in done {
            let call = history.asked(0, op.clone());
            history.told(0, call, told.clone());
        }
        history
    }

    #[test]
    fn a_stale_read_is_found() {
        let (one, two) = ((write(1), WRITTEN), (write(2), WRITTEN));
        let look = |value| (RegisterOp::Read, read(value));
        let fresh = [look(None), one.clone(), look(Some(1)), two.clone(), look(Some(2))];
        sequence(&fresh).judge().expect("each sees what was written last");
        let stale = [one, two, look(Some(2)), look(Some(1))];
        let fault = sequence(&stale).judge().expect_err("an older value was read");
        assert!(fault.to_string().contains("told  ReadOk(Some(1))"), "{fault}");
    }

    #[test]
    fn a_lost_write_is_found() {
        let lost = [(write(1), WRITTEN), (RegisterOp::Read, read(None))];
        assert!(sequence(&lost).judge().is_err(), "what was acknowledged was not there");
    }

    #[test]
    fn two_reads_that_saw_a_write_come_and_go_are_found() {
        let mut history = History::default();
        let written = history.asked(0, write(1));
        for value in [Some(1), None] {
            let call = history.asked(0, RegisterOp::Read);
            history.told(0, call, read(value));
        }
        history.told(0, written, WRITTEN);
        assert!(history.judge().is_err(), "once seen, it stays");
    }

    #[test]
    fn a_write_of_which_nothing_was_heard_may_come_late_or_never_and_only_once() {
        let tale = |seen: &[Value]| {
            let mut history = sequence(&[(write(1), WRITTEN)]);
            history.asked(0, write(2));
            let done: Vec<_> = seen.iter().map(|it| (RegisterOp::Read, read(*it))).collect();
            for (op, told) in done {
                let call = history.asked(0, op);
                history.told(0, call, told);
            }
            history.judge()
        };
        assert!(tale(&[Some(1), Some(1)]).is_ok(), "never");
        assert!(tale(&[Some(1), Some(2), Some(2)]).is_ok(), "late");
        assert!(tale(&[Some(2), Some(1)]).is_err(), "and gone again");
    }

    #[test]
    fn registers_are_judged_one_by_one() {
        let mut history = sequence(&[(write(1), WRITTEN)]);
        let call = history.asked(1, RegisterOp::Read);
        history.told(1, call, read(None));
        history.judge().expect("the other register was never written");
    }
}
