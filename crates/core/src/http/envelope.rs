//! The frame around every answer: `{"requestId","code","message","success","httpStatusCode","data"}`.

use std::borrow::Cow;

use serde_json::Value;

use super::{Answered, HttpResponse};
use crate::error::{ApiError, Malformed, Refusal, start_of};
use crate::json::{self, Object};
use crate::wire::object::Object as WireObject;

/// An answer that says that the call worked.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    response: &'a HttpResponse,
    /// Without `data`.
    pub(crate) fields: Object,
    /// Null where there was none.
    pub(crate) data: Value,
    pub(crate) request_id: String,
}

impl<'a> Envelope<'a> {
    /// Opens an answer.
    ///
    /// It has failed when `success` is false or when HTTP says so; whichever is the worse is believed. Without
    /// `success` HTTP alone decides.
    pub(crate) fn open(response: &'a HttpResponse) -> Result<Self, ApiError> {
        let problem = match json::parse(&response.body) {
            Some(Value::Object(fields)) => return Self::from_fields(response, fields),
            Some(_) => "it is not a JSON object",
            None if response.body.trim().is_empty() => "it is empty",
            None => "it is not JSON",
        };
        // A gateway that does not know the key need not know the envelope either.
        if response.status == 401 {
            let refusal = Refusal {
                status: 401,
                request_id: response.request_id_header.clone().unwrap_or_default(),
                ..Refusal::default()
            };
            return Err(ApiError::Unauthorized(refusal));
        }
        Err(malformed(response, problem))
    }

    fn from_fields(response: &'a HttpResponse, mut fields: Object) -> Result<Self, ApiError> {
        let request_id = json::string(&fields, &["requestId", "RequestId", "request_id"])
            .or_else(|| response.request_id_header.clone())
            .unwrap_or_default();
        let is_fine = (200..300).contains(&response.status);
        if !is_fine || json::field(&fields, &["success"]) == Some(&Value::Bool(false)) {
            return Err(refused(response, &fields, request_id));
        }
        let data = fields.remove("data").unwrap_or_default();
        Ok(Self { response, fields, data, request_id })
    }

    /// The data as an object, also when it was sent as JSON text.
    pub(crate) fn object(&mut self) -> Result<Object, ApiError> {
        json::unquote_object(self.data.take()).map_err(|other| match other {
            Value::Null => self.malformed("it has no data"),
            _ => self.malformed("its data is not an object"),
        })
    }

    /// The answer came, but not what the call answers with.
    pub(crate) fn malformed(&self, problem: &str) -> ApiError {
        match malformed(self.response, problem) {
            ApiError::Malformed(malformed) => {
                ApiError::Malformed(Malformed { request_id: self.request_id.clone(), ..malformed })
            }
            other => other,
        }
    }

    /// The answer says that it worked, its data that it did not.
    pub(crate) fn refused(&self, fallback_code: &str, message: String) -> ApiError {
        let code = json::text(&self.fields, &["code"])
            .filter(|code| !["ok", "success", "200", "0"].iter().any(|fine| code.eq_ignore_ascii_case(fine)));
        blame(Refusal {
            code: code.unwrap_or(fallback_code).to_owned(),
            message,
            status: self.response.status,
            request_id: self.request_id.clone(),
        })
    }

    pub(crate) fn answer<T>(self, value: T) -> Answered<T> {
        Answered { value, request_id: self.request_id }
    }
}

fn malformed(response: &HttpResponse, problem: &str) -> ApiError {
    ApiError::Malformed(Malformed {
        status: response.status,
        problem: problem.to_owned(),
        start: start_of(&response.body),
        request_id: response.request_id_header.clone().unwrap_or_default(),
    })
}

/// A failed call. An object that says nothing of why (another service's error page in JSON) is not an envelope; its status
/// still counts, so that a wrong endpoint is never taken for a session that is gone.
fn refused(response: &HttpResponse, fields: &Object, request_id: String) -> ApiError {
    let code = match json::field(fields, &["code", "Code"]) {
        Some(Value::String(code)) => code.clone(),
        Some(Value::Number(code)) => code.to_string(),
        _ => String::new(),
    };
    let message = json::string(fields, &["message", "Message", "errorMessage"]).unwrap_or_default();
    if code.is_empty() && message.is_empty() && !matches!(response.status, 200..=299 | 401 | 403) {
        return malformed(response, "it is an error without a code or a message");
    }
    let in_body = json::count(fields, &["httpStatusCode"]).and_then(|status| u16::try_from(status).ok());
    let status = match in_body {
        Some(status @ 400..=599) if (200..300).contains(&response.status) => status,
        _ => response.status,
    };
    blame(Refusal { code, message, status, request_id })
}

/// The error in the words of a refused stream: what [`Envelope::open`] makes of the same answer, without a tree of its JSON,
/// for which a page that runs code would load more. `None`: nothing that a service says.
pub(crate) fn refusal_of_stream(status: u16, body: &str) -> Option<Refusal> {
    let fields = WireObject::parse(body);
    let text = |names: &[&str]| {
        let found = names.iter().find_map(|name| fields.as_ref()?.string(name));
        found.map(Cow::into_owned).unwrap_or_default()
    };
    let mut code = text(&["code", "Code"]);
    if code.is_empty()
        && let Some(number) = fields.as_ref().and_then(|fields| fields.get("code")?.as_u64())
    {
        code = number.to_string();
    }
    let message = text(&["message", "Message", "errorMessage"]);
    // A gateway that does not know the token need not know the envelope either.
    let says_nothing = code.is_empty() && message.is_empty() && !(fields.is_some() && status == 403);
    if body.is_empty() || says_nothing && status != 401 {
        return None;
    }
    let request_id = text(&["requestId", "RequestId", "request_id"]);
    let refusal = Refusal { code, message, status, request_id };
    Some(if refusal.is_of_caller() { refusal.of_token() } else { refusal })
}

/// Sorts by blame.
fn blame(refusal: Refusal) -> ApiError {
    if refusal.is_of_caller() {
        ApiError::Unauthorized(refusal)
    } else if refusal.is_of_missing() {
        ApiError::NotFound(refusal)
    } else {
        ApiError::Refused(refusal)
    }
}
