//! Bytes of a file as a `Buffer` in memory of V8's own, which the I/O thread fills.

use std::cell::Cell;
use std::ffi::c_void;
use std::hint::black_box;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use agb_client::{Bytes, PartSink};
use napi::bindgen_prelude::{Error, Result, Status, ToNapiValue};
use napi::{Env, check_status, sys};

use crate::js_thread_queue::JsThreadQueue;

/// A buffer for bytes that are read. JavaScript gets it when they have come, and nobody of it knows it before.
///
/// It is made on the JavaScript thread, which does no more: the I/O thread copies each piece into it while the piece is
/// still in the processor's cache, and reads the next one into the same memory.
///
/// Of memory that is not its own V8 finds out that nobody uses it by a collection of everything only, for which it waits
/// until 64 MiB have come and which goes on while more comes: a stream took 150 to 180 MiB. Its own it finds by each
/// collection of what is young, which takes a millisecond and which it makes when 32 MiB have come. Here one is
/// [brought about](collect) earlier. The same memory is then used again and again, which costs less than fresh memory
/// without the copy did: a fifth of the client's time.
pub(crate) struct PartBuffer {
    queue: JsThreadQueue,
    /// Keeps the buffer from the collector; `None` once it was let go.
    kept: Option<Kept>,
    memory: Arc<Memory>,
}

/// A reference to the buffer, used on its JavaScript thread only.
struct Kept(sys::napi_ref);

// SAFETY: it is used on its JavaScript thread only, by `into_value` and by jobs of the queue.
unsafe impl Send for Kept {}

/// The buffer's memory, as long as its environment lives.
///
/// Invariant: whoever writes holds the lock and has found the place there. The environment's end takes it away under the
/// lock before the memory goes.
struct Memory {
    state: Mutex<State>,
    length: usize,
}

#[derive(Default)]
struct State {
    place: Option<NonNull<u8>>,
    filled: usize,
}

// SAFETY: the place is used under the lock only, and V8 neither moves nor frees it before `close` has taken it away.
unsafe impl Send for State {}

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner) // every state of it is a whole one
    }
}

/// What fills a [`PartBuffer`]. With nothing to fill it takes nothing.
pub(crate) struct Filling(Option<Arc<Memory>>);

impl Filling {
    /// For what reads nothing.
    pub(crate) const fn nothing() -> Self {
        Self(None)
    }
}

impl PartSink for Filling {
    fn push(&mut self, bytes: Bytes) -> std::result::Result<(), &'static str> {
        let Some(memory) = &self.0 else { return Err("nothing was asked for") };
        let mut state = memory.state();
        let place = state.place.ok_or("the thread that reads has ended")?;
        if bytes.len() > memory.length - state.filled {
            return Err("more came than was asked for");
        }
        // SAFETY: the buffer is as long as `length`, the rest of it has room for these bytes, the lock is held, and no
        // JavaScript has the buffer yet.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), place.as_ptr().add(state.filled), bytes.len()) };
        state.filled += bytes.len();
        Ok(())
    }

    fn clear(&mut self) {
        if let Some(memory) = &self.0 {
            memory.state().filled = 0;
        }
    }
}

impl PartBuffer {
    /// A buffer of so many bytes, which come to exist as they are written.
    pub(crate) fn new(env: &Env, length: usize) -> Result<Self> {
        keep_freed();
        let queue = JsThreadQueue::of(env)?;
        let given = GIVEN.get() + length;
        let is_due = given > BETWEEN;
        if is_due {
            collect(env);
        }
        GIVEN.set(if is_due { length } else { given });
        let (mut data, mut buffer, mut reference) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, and the pointers are to locals.
        unsafe {
            check_status!(sys::napi_create_buffer(env.raw(), length, &raw mut data, &raw mut buffer))?;
            check_status!(sys::napi_create_reference(env.raw(), buffer, 1, &raw mut reference))?;
        }
        let state = State { place: NonNull::new(data.cast()), filled: 0 };
        let memory = Arc::new(Memory { state: Mutex::new(state), length });
        let part = Self { queue, kept: Some(Kept(reference)), memory };
        let argument = Arc::into_raw(Arc::clone(&part.memory)).cast_mut().cast::<c_void>();
        // SAFETY: the argument is a count of the memory's that the hook, or whoever removes it, takes back.
        let status = unsafe { sys::napi_add_env_cleanup_hook(env.raw(), Some(close), argument) };
        if status != sys::Status::napi_ok {
            part.memory.state().place = None;
            // SAFETY: the hook was not added, so the count is still ours.
            drop(unsafe { Arc::from_raw(argument.cast::<Memory>().cast_const()) });
            return Err(Error::new(Status::from(status), "the end of the thread cannot be watched for"));
        }
        Ok(part)
    }

    /// What fills it.
    pub(crate) fn filling(&self) -> Filling {
        Filling(Some(Arc::clone(&self.memory)))
    }

    /// The buffer, or a shorter one where fewer bytes came. On its JavaScript thread.
    fn into_value(mut self, env: &Env) -> Result<sys::napi_value> {
        let kept = self.kept.take().ok_or_else(|| Error::from_reason("the buffer was let go"))?;
        let filled = self.memory.state().filled;
        let (mut buffer, mut whole) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, the reference is of it and was not deleted, and the buffer has so many
        // bytes, which stay while the reference does.
        let made = unsafe {
            check_status!(sys::napi_get_reference_value(env.raw(), kept.0, &raw mut whole)).and_then(|()| {
                if filled == self.memory.length {
                    return Ok(whole);
                }
                let place = self.memory.state().place.map_or(ptr::null(), |place| place.as_ptr().cast_const());
                let copied = sys::napi_create_buffer_copy(
                    env.raw(),
                    if place.is_null() { 0 } else { filled },
                    place.cast(),
                    ptr::null_mut(),
                    &raw mut buffer,
                );
                check_status!(copied).map(|()| buffer)
            })
        };
        let_go(env, kept, &self.memory);
        made
    }
}

impl Drop for PartBuffer {
    fn drop(&mut self) {
        if let Some(kept) = self.kept.take() {
            let memory = Arc::clone(&self.memory);
            // An environment that has ended takes the reference with it, and the hook has run.
            self.queue.post(Box::new(move |env| let_go(env, kept, &memory)));
        }
    }
}

/// Lets the collector have the buffer, once nobody writes it any more. On its JavaScript thread.
fn let_go(env: &Env, Kept(reference): Kept, memory: &Arc<Memory>) {
    // Nobody writes any more, whatever still has a way to.
    let was_there = memory.state().place.take().is_some();
    let argument = Arc::as_ptr(memory).cast_mut().cast::<c_void>();
    // SAFETY: `env` is the one of this thread. The place goes once, here or in the hook: whoever takes it has the count
    // that the hook was given.
    unsafe {
        if was_there && sys::napi_remove_env_cleanup_hook(env.raw(), Some(close), argument) == sys::Status::napi_ok {
            drop(Arc::from_raw(argument.cast::<Memory>().cast_const()));
        }
        sys::napi_delete_reference(env.raw(), reference);
    }
}

/// Runs when the environment ends, before its memory goes.
unsafe extern "C" fn close(argument: *mut c_void) {
    // SAFETY: it is the count that `PartBuffer::new` gave away; the hook runs once, and not after it was removed.
    let memory = unsafe { Arc::from_raw(argument.cast::<Memory>().cast_const()) };
    memory.state().place = None;
}

/// Bytes that were read, on their way to JavaScript: those of a buffer, or none.
pub(crate) struct PartBytes(pub(crate) Option<PartBuffer>);

impl ToNapiValue for PartBytes {
    unsafe fn to_napi_value(env: sys::napi_env, PartBytes(buffer): Self) -> Result<sys::napi_value> {
        if let Some(buffer) = buffer {
            return buffer.into_value(&Env::from_raw(env));
        }
        let (mut data, mut none) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, and both pointers are to locals.
        check_status!(unsafe { sys::napi_create_buffer(env, 0, &raw mut data, &raw mut none) })?;
        Ok(none)
    }
}

/// How many bytes of parts are given between two collections. Three of the SDK's parts: one is in hand and two are on their
/// way at most, so that few collections find one that the collection before has found in use, which V8 would take for old
/// and look for among everything. So a stream takes some 40 MiB; a V8 that collects everything for such a buffer, as that
/// of Node 24 does, does so the less often the larger this is.
const BETWEEN: usize = 12 << 20;

/// More than what V8 lets come before it collects what is young (twice the largest half of its young heap, 32 MiB), and more
/// than what glibc takes from its heap (32 MiB): such a buffer has pages of its own, and those that nobody writes do not
/// come to exist.
const ENOUGH: usize = 33 << 20;

thread_local! {
    /// Bytes that this JavaScript thread was given since the last collection.
    static GIVEN: Cell<usize> = const { Cell::new(0) };
}

/// Has V8 collect what is young when it makes its next buffer: by one that nobody writes and nobody keeps, of so many bytes
/// that it is time to.
fn collect(env: &Env) {
    let made = env.run_in_scope(|| {
        let (mut data, mut buffer) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the one of this thread, and both pointers are to locals.
        check_status!(unsafe { sys::napi_create_buffer(env.raw(), ENOUGH, &raw mut data, &raw mut buffer) })
    });
    if made.is_err() {
        // Where a process may not have so many, V8 collects when it wants to.
        let mut error = ptr::null_mut();
        // SAFETY: `env` is the one of this thread, and the pointer is to a local.
        unsafe { sys::napi_get_and_clear_last_exception(env.raw(), &raw mut error) };
    }
}

/// Has glibc keep what a collection frees for the parts that come next, once for all of the process.
///
/// It takes as much from its heap, and keeps twice as much of it when it is freed, as the largest block had that was freed
/// so far. With parts alone that is less than a collection frees, which would go back to the system and come again as
/// fresh pages: that took a third of the client's time. Other allocators take the block and free it, and nothing more.
fn keep_freed() {
    // Twice that is what a collection frees, and some parts more.
    const HALF: usize = BETWEEN / 4 * 3;
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(black_box(Vec::<u8>::with_capacity(HALF))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_beyond_the_buffer_or_after_its_end() {
        let mut bytes = vec![0_u8; 5];
        let state = State { place: NonNull::new(bytes.as_mut_ptr()), filled: 0 };
        let memory = Arc::new(Memory { state: Mutex::new(state), length: 4 });
        let mut filling = Filling(Some(Arc::clone(&memory)));
        let mut push = |text: &'static str| filling.push(Bytes::from_static(text.as_bytes()));
        assert_eq!(push("abc"), Ok(()));
        assert!(push("de").is_err());
        assert_eq!(push("d"), Ok(()));
        filling.clear();
        assert_eq!(filling.push(Bytes::from_static(b"x")), Ok(()));
        // SAFETY: the hook's count is made as `PartBuffer::new` makes it.
        unsafe { close(Arc::into_raw(Arc::clone(&memory)).cast_mut().cast()) };
        assert!(filling.push(Bytes::from_static(b"y")).is_err(), "its environment has ended");
        assert!(Filling::nothing().push(Bytes::from_static(b"z")).is_err());
        assert_eq!(Arc::strong_count(&memory), 2, "the hook has taken its count back");
        drop(filling);
        assert_eq!(bytes, b"xbcd\0");
    }
}
