//! Promises that are settled from the I/O thread.
//!
//! napi's own `JsDeferred` makes a threadsafe function and a clean-up hook for each promise, and one that is dropped
//! unsettled, as by a panic, leaves its promise pending and the process alive for ever. Here all promises share the
//! thread's one queue, and a [`Deferred`] that is dropped rejects.

use std::cell::RefCell;
use std::future::Future;
use std::ptr;

use agb_client::agb_core::http::Answered;
use napi::bindgen_prelude::{Error, JsObjectValue, PromiseRaw, Result, Status, ToNapiValue, Unknown};
use napi::{Env, check_status, sys};
use tokio::sync::oneshot;

use crate::answer::{Answer, answer};
use crate::io;
use crate::js_thread_queue::JsThreadQueue;

/// What TypeScript awaits.
pub(crate) type Promise<'env> = PromiseRaw<'env, Unknown<'env>>;

/// A promise of what `future`, on the I/O thread, comes to. `convert` makes the JavaScript value of it, on the
/// JavaScript thread. It rejects for our own bugs only.
pub(crate) fn promise<'env, T, V>(
    env: &'env Env,
    future: impl Future<Output = T> + Send + 'static,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<Promise<'env>>
where
    T: Send + 'static,
    V: ToNapiValue,
{
    let queue = JsThreadQueue::of(env)?;
    let (mut deferred, mut promise) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: both pointers are to locals, and `env` is the environment of this thread.
    check_status!(unsafe { sys::napi_create_promise(env.raw(), &raw mut deferred, &raw mut promise) })?;
    queue.hold(env);
    let deferred = Deferred { queue, raw: Some(Raw(deferred)) };
    let task = async move {
        // A panic drops the task and with it `deferred`, which then rejects.
        let value = future.await;
        deferred.resolve(move || convert(value));
    };
    // When there is no I/O thread the task is dropped here, and `deferred` rejects.
    if let Err(error) = io::spawn(task) {
        tracing::error!(target: "agb::node", error, "no I/O thread");
    }
    Ok(PromiseRaw::new(env.raw(), promise))
}

/// `NativeCall`: a promise of an operation's answer, with an `abort` that drops the operation.
pub(crate) fn call<'env, T, V>(
    env: &'env Env,
    operation: impl Future<Output = std::result::Result<Answered<T>, agb_client::Error>> + Send + 'static,
    convert: impl FnOnce(T) -> V + Send + 'static,
) -> Result<Promise<'env>>
where
    T: Send + 'static,
    V: ToNapiValue,
{
    let (stop, stopped) = oneshot::channel();
    let stoppable = async move {
        tokio::select! {
            outcome = operation => Some(outcome),
            Ok(()) = stopped => None,
        }
    };
    let mut promise = promise(env, stoppable, |outcome| Settled(outcome.map(|outcome| answer(outcome, convert))))?;
    let stop = RefCell::new(Some(stop));
    let abort = env.create_function_from_closure::<(), _, _>("abort", move |_| {
        if let Some(stop) = stop.take() {
            let _ = stop.send(()); // it is over
        }
        Ok(())
    })?;
    promise.set_named_property("abort", abort)?;
    Ok(promise)
}

/// What a call came to; nothing where it was stopped.
struct Settled<V>(Option<Answer<V>>);

impl<V: ToNapiValue> ToNapiValue for Settled<V> {
    unsafe fn to_napi_value(env: sys::napi_env, Settled(answer): Self) -> Result<sys::napi_value> {
        match answer {
            // SAFETY: `env` is the one of this thread.
            Some(answer) => unsafe { Answer::to_napi_value(env, answer) },
            None => Err(Error::new(Status::Cancelled, "the call was stopped")),
        }
    }
}

/// A promise that is to be settled, once.
struct Deferred {
    queue: JsThreadQueue,
    raw: Option<Raw>,
}

struct Raw(sys::napi_deferred);

// SAFETY: it is used on its JavaScript thread only, in jobs of the queue.
unsafe impl Send for Raw {}

impl Deferred {
    fn resolve<V: ToNapiValue>(mut self, value: impl FnOnce() -> V + Send + 'static) {
        let Some(raw) = self.raw.take() else { return };
        self.settle(raw, move |env| {
            // SAFETY: this is the JavaScript thread of `env`.
            unsafe { V::to_napi_value(env.raw(), value()) }
        });
    }

    fn settle(&self, raw: Raw, value: impl FnOnce(&Env) -> Result<sys::napi_value> + Send + 'static) {
        let queue = self.queue.clone();
        self.queue.post(Box::new(move |env| {
            queue.let_go(env);
            let raw = raw; // the whole of it, which is `Send`, and not its field
            // SAFETY: the deferred is of this environment and is settled once, for it was moved here.
            let settled = unsafe {
                match value(env) {
                    Ok(value) => sys::napi_resolve_deferred(env.raw(), raw.0, value),
                    Err(error) => {
                        let error = napi::JsError::from(error).into_value(env.raw());
                        sys::napi_reject_deferred(env.raw(), raw.0, error)
                    }
                }
            };
            if settled != sys::Status::napi_ok {
                tracing::error!(target: "agb::node", settled, "a promise cannot be settled");
            }
        }));
    }
}

impl Drop for Deferred {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            self.settle(raw, |_| {
                Err(Error::new(
                    Status::GenericFailure,
                    "the addon lost the call to a fault of its own; please report this",
                ))
            });
        }
    }
}
