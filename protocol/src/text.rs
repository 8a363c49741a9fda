//! Foreign text as a message may repeat it: short, and nothing in it that moves a cursor.

/// The most characters of foreign text that a message repeats.
const EXCERPT_MAX: usize = 40;

/// Foreign text as a message may repeat it: short, and nothing in it that moves a cursor.
pub(crate) fn excerpt(text: &str) -> String {
    shortened(text, EXCERPT_MAX)
}

/// At most `limit` characters of foreign text, and a mark if there are more.
pub(crate) fn shortened(text: &str, limit: usize) -> String {
    let visible = |c| if printable(c) { c } else { '\u{fffd}' };
    let mut shortened: String = text.chars().take(limit).map(visible).collect();
    if text.chars().nth(limit).is_some() {
        shortened.push('…');
    }
    shortened
}

/// Whether a terminal shows the character in its place: no control, and none of those that turn
/// the direction of writing.
pub(crate) fn printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
