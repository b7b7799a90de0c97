//! Who counts what trees take: asked before each is made, quoted ones within others included.

use std::cell::RefCell;

use agb_protocol::fields::tree_size;

/// Asked whether the trees of a reading may take so many bytes, all of them together. Says why not.
type Ask = Box<dyn FnMut(usize) -> Result<(), String>>;

struct Room {
    ask: Ask,
    /// What was asked for up to here.
    taken: usize,
    refused: Option<String>,
}

thread_local! {
    /// That of the reading that goes on in this thread. Reading has no end in another one, and does not wait.
    static ROOM: RefCell<Option<Room>> = const { RefCell::new(None) };
}

/// Ends a reading, a panic's included.
struct Reading(Option<Room>);

impl Drop for Reading {
    fn drop(&mut self) {
        ROOM.set(self.0.take());
    }
}

/// Reads something whose trees are asked for.
///
/// # Errors
/// The words of the first refusal. What was read then is not all.
pub(crate) fn counted<T>(
    ask: impl FnMut(usize) -> Result<(), String> + 'static,
    read: impl FnOnce() -> T,
) -> Result<T, String> {
    let outer = ROOM.replace(Some(Room { ask: Box::new(ask), taken: 0, refused: None }));
    let reading = Reading(outer);
    let value = read();
    let room = ROOM.take();
    drop(reading);
    room.and_then(|room| room.refused).map_or(Ok(value), Err)
}

/// Whether a tree may be made of this text. Whoever does not count may make any.
pub(super) fn is_there(text: &str) -> bool {
    ROOM.with_borrow_mut(|room| {
        let Some(room) = room else { return true };
        if room.refused.is_none() {
            room.taken = room.taken.saturating_add(tree_size(text));
            room.refused = (room.ask)(room.taken).err();
        }
        room.refused.is_none()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::json::{parse, unquote, unquote_object};

    fn up_to(most: usize) -> impl FnMut(usize) -> Result<(), String> {
        move |taken| if taken <= most { Ok(()) } else { Err(format!("{taken} of {most}")) }
    }

    #[test]
    fn trees_of_all_layers_are_asked_for_together() {
        let inner = format!("[{}0]", r#"{"":0},"#.repeat(100));
        let mut quoted = inner.clone();
        for _ in 0..3 {
            quoted = Value::String(quoted).to_string();
        }
        let open = |text: String| move || unquote(parse(&text).expect("it is JSON"));
        let least = tree_size(&inner);
        let read = counted(up_to(4 * least), open(quoted.clone())).expect("there is room");
        assert_eq!(read.as_array().map(Vec::len), Some(101));
        // What is quoted weighs as a text at first.
        assert!(tree_size(&quoted) < least / 10);
        for most in [0, 100, least - 1] {
            let read = counted(up_to(most), || parse(&quoted).map(unquote));
            assert!(read.is_err_and(|reason| reason.ends_with(&format!("of {most}"))), "{most}");
        }
        // Nor do many small ones have more room than a large one.
        let small: Vec<Value> = vec![json!(r#"{"":0}"#); 100];
        let all = |small: Vec<Value>| move || small.into_iter().filter_map(|one| unquote_object(one).ok()).count();
        assert_eq!(counted(up_to(100_000), all(small.clone())), Ok(100));
        assert!(counted(up_to(60_000), all(small)).is_err());
    }

    #[test]
    fn who_does_not_count_may_make_any() {
        let text = format!("[{}0]", "0,".repeat(100_000));
        assert!(counted(up_to(10), || parse(&text)).is_err());
        assert!(parse(&text).is_some(), "the reading is over");
        let broken = std::panic::catch_unwind(|| counted(up_to(10), || panic!("a defect")));
        assert!(broken.is_err() && parse(&text).is_some(), "also when it broke off");
        let nested = counted(up_to(100), || (counted(up_to(usize::MAX), || parse(&text).is_some()), parse(&text)));
        assert_eq!(nested.map_err(|_| ()), Err(()), "the outer one counts again after the inner one");
    }
}
