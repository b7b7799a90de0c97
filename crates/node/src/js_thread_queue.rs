//! The way from any thread to one JavaScript thread: a queue of jobs that run there.
//!
//! One threadsafe function per JavaScript thread serves promises, wakes and log lines alike. A burst of jobs costs one
//! wake-up of the event loop, and what must keep the process alive is one count, changed on the JavaScript thread only.
//! (napi's `ThreadsafeFunction` calls one JavaScript function with one value a call, and has no `hasRef` for tools that look
//! for open handles.)
//!
//! Invariants:
//! * Whoever uses the threadsafe function holds the gate's lock and has seen `open`. Its finalizer, which Node runs
//!   before it frees it, takes the lock to clear `open`: so nobody ever uses a freed one.
//! * The jobs have a lock of their own, which is never held across a call: waking the event loop starts the JavaScript
//!   thread at once, and it would stop again at a lock that its waker still holds.
//! * No job runs, and none is dropped, under a lock.

use std::cell::RefCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Error, Object, Result, Status};
use napi::{Env, check_status, sys};

/// Something to do on the JavaScript thread.
pub(crate) type Job = Box<dyn FnOnce(&Env) + Send>;

/// One JavaScript thread's queue.
#[derive(Clone)]
pub(crate) struct JsThreadQueue {
    queue: Arc<Queue>,
}

struct Queue {
    gate: Mutex<Gate>,
    jobs: Mutex<Jobs>,
}

/// The threadsafe function.
struct Gate {
    function: sys::napi_threadsafe_function,
    /// It may be used.
    open: bool,
    /// Whether the process is kept alive, and by how many.
    holds: usize,
}

#[derive(Default)]
struct Jobs {
    /// The event loop is being told, or has been, and has not come yet.
    told: bool,
    /// Nothing will be done any more.
    closed: bool,
    waiting: Vec<Job>,
}

// SAFETY: the threadsafe function is made to be called from any thread, and `open` says until when.
unsafe impl Send for Gate {}

thread_local! {
    /// The queues of this thread. More than one when the addon was loaded more than once, as test runners do.
    static QUEUES: RefCell<Vec<(sys::napi_env, JsThreadQueue)>> = const { RefCell::new(Vec::new()) };
}

impl JsThreadQueue {
    /// The queue of the JavaScript thread that this is.
    pub(crate) fn of(env: &Env) -> Result<Self> {
        let known = QUEUES
            .with_borrow(|queues| queues.iter().find(|(known, _)| *known == env.raw()).map(|(_, queue)| queue.clone()));
        match known {
            Some(queue) => Ok(queue),
            None => Self::open(env),
        }
    }

    fn open(env: &Env) -> Result<Self> {
        let gate = Gate { function: ptr::null_mut(), open: false, holds: 0 };
        let queue = Self { queue: Arc::new(Queue { gate: Mutex::new(gate), jobs: Mutex::default() }) };
        let name = env.create_string("agb")?;
        let resource = resource(env, &queue.queue)?;
        // The function's context and the finalizer's data: one count of the queue, taken back by the finalizer.
        let context = Arc::into_raw(Arc::clone(&queue.queue)).cast_mut().cast::<c_void>();
        let mut function = ptr::null_mut();
        // SAFETY: `env` is the environment of this thread; null is allowed for the function, since there is a callback
        // of our own; the resource was just made in it; `context` lives until `finalize` takes it back.
        let status = unsafe {
            sys::napi_create_threadsafe_function(
                env.raw(),
                ptr::null_mut(),
                napi::JsValue::raw(&resource),
                napi::JsValue::raw(&name),
                0, // no limit: what is posted is bounded by the runs and promises there are
                1,
                context,
                Some(finalize),
                context,
                Some(run_jobs),
                &raw mut function,
            )
        };
        if status != sys::Status::napi_ok {
            // SAFETY: nobody else got the pointer, for the function was not made.
            drop(unsafe { Arc::from_raw(context.cast::<Queue>()) });
            return Err(failed("no threadsafe function can be made", status));
        }
        // SAFETY: the function was just made in this environment. An idle queue must not keep the process alive.
        let status = unsafe { sys::napi_unref_threadsafe_function(env.raw(), function) };
        if status != sys::Status::napi_ok {
            return Err(failed("the threadsafe function cannot be released from the event loop", status));
        }
        {
            let mut gate = lock(&queue.queue.gate);
            gate.function = function;
            gate.open = true;
        }
        QUEUES.with_borrow_mut(|queues| queues.push((env.raw(), queue.clone())));
        Ok(queue)
    }

    /// Has a job done on the JavaScript thread. When that is no more, the job is dropped.
    pub(crate) fn post(&self, job: Job) {
        {
            let mut jobs = lock(&self.queue.jobs);
            if jobs.closed {
                drop(jobs); // before the job
                return;
            }
            jobs.waiting.push(job);
            if std::mem::replace(&mut jobs.told, true) {
                return;
            }
        }
        let mut gate = lock(&self.queue.gate);
        if !gate.open {
            return; // the finalizer has come in between, and has dropped the job
        }
        // SAFETY: `open` is set and the lock is held, so the function has not been finalized.
        let status = unsafe {
            sys::napi_call_threadsafe_function(
                gate.function,
                ptr::null_mut(),
                sys::ThreadsafeFunctionCallMode::nonblocking,
            )
        };
        if status != sys::Status::napi_ok {
            gate.open = false;
            drop(gate);
            drop(self.queue.close());
        }
    }

    /// Keeps the process alive until [`let_go`](Self::let_go). On the JavaScript thread only.
    pub(crate) fn hold(&self, env: &Env) {
        let mut gate = lock(&self.queue.gate);
        gate.holds += 1;
        if gate.holds == 1 && gate.open {
            // SAFETY: `open` is set and the lock is held; `env` is the one of this thread.
            let _ = unsafe { sys::napi_ref_threadsafe_function(env.raw(), gate.function) };
        }
    }

    /// Takes one [`hold`](Self::hold) back. On the JavaScript thread only.
    pub(crate) fn let_go(&self, env: &Env) {
        let mut gate = lock(&self.queue.gate);
        gate.holds = gate.holds.saturating_sub(1);
        if gate.holds == 0 && gate.open {
            // SAFETY: as in `hold`.
            let _ = unsafe { sys::napi_unref_threadsafe_function(env.raw(), gate.function) };
        }
    }

    /// Whether this is the same queue.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.queue, &other.queue)
    }

    /// Whether its JavaScript thread can still be reached.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.queue.gate).open
    }
}

/// The queue as Node's `async_hooks` show it. Tools that look for what keeps a process alive, such as Jest with
/// `--detectOpenHandles`, ask its `hasRef()`.
fn resource<'env>(env: &'env Env, queue: &Arc<Queue>) -> Result<Object<'env>> {
    let queue = Arc::downgrade(queue);
    let has_ref = env.create_function_from_closure::<(), _, _>("hasRef", move |_| {
        Ok(queue.upgrade().is_some_and(|queue| lock(&queue.gate).holds > 0))
    })?;
    let mut resource = Object::new(env)?;
    resource.set("hasRef", has_ref)?;
    Ok(resource)
}

impl Queue {
    /// Does nothing any more; the jobs are for the caller to drop.
    fn close(&self) -> Vec<Job> {
        let mut jobs = lock(&self.jobs);
        jobs.closed = true;
        std::mem::take(&mut jobs.waiting)
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner) // every state of them is a whole one
}

/// Runs on the JavaScript thread, once for each successful call of the function.
unsafe extern "C" fn run_jobs(env: sys::napi_env, _: sys::napi_value, context: *mut c_void, _: *mut c_void) {
    // SAFETY: the context is the queue, alive until `finalize`, which Node calls last.
    let queue = unsafe { &*context.cast::<Queue>() };
    let jobs = {
        let mut jobs = lock(&queue.jobs);
        jobs.told = false;
        std::mem::take(&mut jobs.waiting)
    };
    if env.is_null() {
        return; // the environment is being torn down: nothing can be said any more
    }
    let env = Env::from_raw(env);
    for job in jobs {
        // A job's own state goes with it, so nothing half-changed is seen again.
        if catch_unwind(AssertUnwindSafe(|| job(&env))).is_err() {
            tracing::error!(target: "agb::node", "a task on the JavaScript thread panicked; please report this");
        }
    }
}

/// Runs on the JavaScript thread when its environment is torn down.
unsafe extern "C" fn finalize(env: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: `data` is the count that `JsThreadQueue::open` gave away, and Node finalizes once.
    let queue = unsafe { Arc::from_raw(data.cast::<Queue>()) };
    lock(&queue.gate).open = false;
    let jobs = queue.close();
    // A thread that is ending may have no thread-locals left.
    let _ = QUEUES.try_with(|queues| {
        if let Ok(mut queues) = queues.try_borrow_mut() {
            queues.retain(|(_, known)| !Arc::ptr_eq(&known.queue, &queue));
        }
    });
    let _ = env;
    drop(jobs);
}

/// A JavaScript function, kept from the collector until it is forgotten. An environment that is torn down takes those
/// with it that nobody forgot.
pub(crate) struct Callback(sys::napi_ref);

// SAFETY: all it can do asks for an `Env`, which there is on the JavaScript thread only.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    /// Keeps a function.
    pub(crate) fn keep<'env, F: napi::JsValue<'env>>(env: &Env, function: &F) -> Result<Self> {
        let mut reference = ptr::null_mut();
        // SAFETY: `env` is the environment of this thread, and the function is a value of it.
        check_status!(unsafe { sys::napi_create_reference(env.raw(), function.raw(), 1, &raw mut reference) })?;
        Ok(Self(reference))
    }

    /// Calls it. What it throws is an uncaught exception, as from any callback of the event loop.
    pub(crate) fn call(&self, env: &Env, arguments: &[sys::napi_value]) {
        let env = env.raw();
        let (mut function, mut this) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: `env` is the environment of this thread, the reference has not been deleted since `forget` is the
        // last use, and each result is read only when the call that gives it succeeded.
        unsafe {
            if sys::napi_get_reference_value(env, self.0, &raw mut function) != sys::Status::napi_ok
                || function.is_null()
                || sys::napi_get_undefined(env, &raw mut this) != sys::Status::napi_ok
            {
                return;
            }
            let status =
                sys::napi_call_function(env, this, function, arguments.len(), arguments.as_ptr(), ptr::null_mut());
            if status == sys::Status::napi_pending_exception {
                let mut thrown = ptr::null_mut();
                if sys::napi_get_and_clear_last_exception(env, &raw mut thrown) == sys::Status::napi_ok {
                    sys::napi_fatal_exception(env, thrown);
                }
            }
        }
    }

    /// Lets the collector have it. The last use.
    pub(crate) fn forget(&self, env: &Env) {
        // SAFETY: `env` is the environment of this thread; it is called once for each callback.
        let _ = unsafe { sys::napi_delete_reference(env.raw(), self.0) };
    }
}

fn failed(what: &str, status: sys::napi_status) -> Error {
    Error::new(Status::from(status), format!("{what} (Node-API status {status})"))
}
