//! `RunResult`: what a run came to. Its log stays here until JavaScript asks for it.

use std::sync::Arc;

use agb_client::{Error, Execution, Log, Logs, Stamp, Stream};
use napi::bindgen_prelude::{Object, Result, ToNapiValue};
use napi::{Env, sys};

use crate::convert::Numbers;
use crate::js_batch::{Text, joined};
use crate::objects::{NativeExecutionResult, NativeKilledBy, NativeRunError};

/// A run's outcome.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    execution: Execution,
    log: Arc<Kept>,
    /// Of the execution's error.
    code: Option<&'static str>,
    /// Of the end.
    stamp: Stamp,
}

/// What a run printed.
#[derive(Debug)]
enum Kept {
    /// Of a run that streamed.
    Log(Log),
    /// That came with the answer.
    Lists(Logs),
}

impl Outcome {
    /// Of a run that streamed.
    pub(crate) fn streamed(execution: Execution, log: Log, stamp: Stamp) -> Self {
        let code = execution.error_code();
        Self { execution, log: Arc::new(Kept::Log(log)), code, stamp }
    }

    /// Of a run whose output came with its result.
    pub(crate) fn at_once(mut execution: Execution) -> Self {
        let lists = std::mem::take(&mut execution.logs);
        let code = execution.error_code();
        Self { execution, log: Arc::new(Kept::Lists(lists)), code, stamp: Stamp::default() }
    }

    /// Of a run that this kept from beginning, or from being followed.
    pub(crate) fn refused(error: &Error) -> Self {
        Self { code: Some(error.own_code()), ..Self::at_once(error.to_execution()) }
    }
}

impl Kept {
    fn joined(&self) -> (Text, Vec<u32>) {
        match self {
            Self::Log(log) => joined(&|| Box::new(log.chunks())),
            Self::Lists(logs) => joined(&|| {
                let stdout = logs.stdout.iter().map(|chunk| (Stream::Stdout, chunk.as_str()));
                let stderr = logs.stderr.iter().map(|chunk| (Stream::Stderr, chunk.as_str()));
                Box::new(stdout.chain(stderr))
            }),
        }
    }
}

impl ToNapiValue for Outcome {
    unsafe fn to_napi_value(env: sys::napi_env, outcome: Self) -> Result<sys::napi_value> {
        let Self { execution, log, code, stamp } = outcome;
        let env = Env::from_raw(env);
        let mut object = Object::new(&env)?;
        object.set("requestId", execution.request_id)?;
        object.set("success", execution.success)?;
        object.set("status", execution.status.as_str())?;
        object.set("executionCount", execution.execution_count.map(|count| count as f64))?;
        object.set("executionTime", execution.execution_time)?;
        let results: Vec<_> = execution.results.into_iter().map(NativeExecutionResult::from).collect();
        object.set("results", results)?;
        object.set("error", execution.error.map(|error| NativeRunError::new(error, code)))?;
        object.set("errorMessage", execution.error_message)?;
        object.set("truncated", execution.truncated)?;
        object.set("interruptions", execution.interruptions)?;
        object.set("stateLost", execution.state_lost)?;
        object.set("exitCode", execution.exit_code)?;
        object.set("killedBy", execution.killed_by.map(NativeKilledBy::from))?;
        object.set("seq", stamp.seq as f64)?;
        object.set("time", stamp.time.map(|time| time as f64))?;
        let logs = env.create_function_from_closure::<(), _, _>("logs", move |context| {
            let (text, marks) = log.joined();
            let mut logs = Object::new(context.env)?;
            logs.set("text", &text)?;
            logs.set("marks", Numbers(&marks[..]))?;
            Ok(Raw(napi::JsValue::raw(&logs)))
        })?;
        object.set("logs", logs)?;
        Ok(napi::JsValue::raw(&object))
    }
}

/// A value that is made already.
struct Raw(sys::napi_value);

impl ToNapiValue for Raw {
    unsafe fn to_napi_value(_: sys::napi_env, Raw(value): Self) -> Result<sys::napi_value> {
        Ok(value)
    }
}
