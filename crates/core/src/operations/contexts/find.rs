//! Which contexts there are.

use serde_json::Value;

use super::{malformed, objects, request};
use crate::codes;
use crate::error::{ApiError, Refusal};
use crate::http::{Answered, HttpRequest, Method, Repeat};
use crate::json::{self, Object};
use crate::procedure::{Arguments, BadArguments, Reply, Single};

/// A context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `available`, `clearing`; empty where the service does not say.
    pub state: String,
    /// When it was made, as the service writes it.
    pub created_at: Option<String>,
    /// When it was last used, as the service writes it.
    pub last_used_at: Option<String>,
}

impl Context {
    pub(super) fn read(item: &Object) -> Option<Self> {
        let text = |names: &[&str]| json::field(item, names).and_then(|value| json::plain(value, ","));
        Some(Self {
            id: json::string(item, &["id"])?,
            name: text(&["name"]).unwrap_or_default(),
            state: text(&["state"]).unwrap_or_default(),
            created_at: text(&["createTime"]),
            last_used_at: text(&["lastUsedTime"]),
        })
    }
}

json_object!(Context as context {
    "id": context.id, "name": context.name, "createdAt": context.created_at, "lastUsedAt": context.last_used_at,
});

/// The contexts of an account, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListContexts {
    /// How many a page holds.
    pub max_results: u64,
    /// Where the page begins, as the page before said it.
    pub next_token: Option<String>,
}

impl Default for ListContexts {
    fn default() -> Self {
        Self { max_results: Self::MAX_RESULTS, next_token: None }
    }
}

/// One page of contexts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContextPage {
    /// In the service's order.
    pub contexts: Vec<Context>,
    /// Where the next page begins; absent on the last one.
    pub next_token: Option<String>,
    /// How many a page holds.
    pub max_results: u64,
    /// How many there are on all pages, where the service says so.
    pub total: Option<u64>,
}

impl ListContexts {
    /// The documented size of a page.
    const MAX_RESULTS: u64 = 10;

    pub(crate) fn from_arguments(arguments: &Arguments) -> Result<Self, BadArguments> {
        Ok(Self {
            max_results: arguments.count("maxResults", 1, Self::MAX_RESULTS)?,
            next_token: arguments.optional_word("nextToken")?,
        })
    }

    /// Asks for the page.
    #[must_use]
    pub fn call(self) -> Single<ContextPage> {
        let request = HttpRequest::new(Method::Get, "/sdk/ListContexts", Repeat::Safe)
            .query("maxResults", self.max_results.to_string())
            .query_some("nextToken", self.next_token.as_ref());
        Single::new(request, move |answered: Answered<Reply>| {
            let (data, fields) = answered.value.into_service();
            // What pages need is beside the list, or the list is beside it.
            let (list, beside) = match json::unquote(data) {
                Value::Object(mut data) => {
                    let list = ["data", "contexts", "items"].iter().find_map(|name| data.remove(*name));
                    (list.unwrap_or_default(), data)
                }
                list => (list, fields),
            };
            let page = ContextPage {
                contexts: objects(list).iter().filter_map(Context::read).collect(),
                next_token: json::string(&beside, &["nextToken"]),
                max_results: json::count(&beside, &["maxResults"]).unwrap_or(self.max_results),
                total: json::count(&beside, &["totalCount", "count"]),
            };
            Ok(Answered { value: page, request_id: answered.request_id })
        })
    }
}

json_object!(ContextPage as page {
    "contexts": page.contexts, "nextToken": page.next_token, "maxResults": page.max_results, "totalCount": page.total,
});

/// Finds a context by its id or its name, or makes one of that name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FindContext {
    /// Its id.
    pub id: Option<String>,
    /// Its name, where there is no id.
    pub name: Option<String>,
    /// Make one where there is none of that name.
    pub create: bool,
    /// Where a new one is kept; the service's own choice when absent.
    pub region: Option<String>,
}

impl FindContext {
    pub(crate) fn from_arguments(arguments: &Arguments) -> Result<Self, BadArguments> {
        Self {
            id: arguments.optional_word("contextId")?,
            name: arguments.optional_word("name")?,
            create: arguments.flag("create")?,
            region: arguments.optional_word("loginRegionId")?,
        }
        .checked()
    }

    /// Whether it can be asked for.
    ///
    /// # Errors
    /// [`BadArguments`] without an id and a name, and for an id that is to be made.
    pub fn checked(self) -> Result<Self, BadArguments> {
        match (&self.id, &self.name) {
            (Some(_), _) if self.create => Err(BadArguments::new(
                "contextId cannot be given with create: a new context gets its id from the service",
            )),
            (None, None) => Err(BadArguments::new("name or contextId must be given, and not be blank")),
            _ => Ok(self),
        }
    }

    /// Asks for it. What is not there is an error.
    #[must_use]
    pub fn call(self) -> Single<Context> {
        let repeat = if self.create { Repeat::Unsafe } else { Repeat::Safe };
        let name = self.name.as_ref().filter(|_| self.id.is_none());
        let request = HttpRequest::new(Method::Get, "/sdk/GetContext", repeat)
            .query_some("id", self.id.as_ref())
            .query_some("name", name)
            .query("allowCreate", if self.create { "true" } else { "false" })
            .query_some("loginRegionId", self.region.as_ref());
        let asked = self.id.or(self.name).unwrap_or_default();
        Single::new(request, move |answered: Answered<Reply>| {
            let Answered { value, request_id } = answered;
            match json::unquote(value.into_service().0) {
                Value::Object(data) if Context::read(&data).is_some() => {
                    Ok(Answered { value: Context::read(&data).expect("it was just read"), request_id })
                }
                Value::Null | Value::Object(_) => Err(ApiError::NotFound(Refusal {
                    code: codes::NOT_FOUND.to_owned(),
                    message: ["there is no context ", &asked].concat(),
                    status: 200,
                    request_id,
                })),
                _ => Err(malformed("its data is not a context", request_id)),
            }
        })
    }
}

/// Gives a context another name.
#[must_use]
pub fn rename_context(id: &str, name: &str) -> Single<String> {
    let query = [("id", id), ("name", name)];
    named(request(Method::Post, "/sdk/ModifyContext", Repeat::Safe, &query), id)
}

/// Deletes a context with its files.
#[must_use]
pub fn delete_context(id: &str) -> Single<String> {
    named(request(Method::Post, "/sdk/DeleteContext", Repeat::Safe, &[("id", id)]), id)
}

/// A call that answers nothing but that it was done, to this context.
fn named(request: HttpRequest, id: &str) -> Single<String> {
    let id = id.to_owned();
    Single::done(request, move || id.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::operations::fixtures::line;
    use crate::operations::played::{Played, data, data_with};

    const ONE: &str = r#"{"id":"c-1","name":"n","createTime":"t1","lastUsedTime":"t2","state":"available"}"#;

    fn one() -> Value {
        serde_json::from_str(ONE).unwrap()
    }

    #[test]
    fn pages_have_their_counts_beside_the_list_or_around_it() {
        for reply in [
            data_with(json!([one(), 3]), json!({"nextToken": "t", "maxResults": 5, "totalCount": 7})),
            data(json!({"data": [one()], "nextToken": "t", "maxResults": 5, "totalCount": 7})),
        ] {
            let mut played = Played::new(ListContexts::default().call());
            assert_eq!(line(&played.call()), "GET https://h/sdk/ListContexts?maxResults=10");
            let page = played.end(reply).unwrap();
            assert_eq!((page.contexts.len(), page.contexts[0].created_at.as_deref()), (1, Some("t1")));
            assert_eq!((page.next_token.as_deref(), page.max_results, page.total), (Some("t"), 5, Some(7)));
        }
        let mut played = Played::new(ListContexts { max_results: 2, next_token: Some("t".into()) }.call());
        assert_eq!(line(&played.call()), "GET https://h/sdk/ListContexts?maxResults=2&nextToken=t");
        assert_eq!(played.end(data(json!(null))).unwrap().contexts, []);
    }

    #[test]
    fn a_context_is_found_by_its_id_or_its_name() {
        let find = |arguments: &str| FindContext::from_arguments(&Arguments::parse(arguments).unwrap());
        let mut played = Played::new(find(r#"{"name":" n ","create":true,"loginRegionId":"r"}"#).unwrap().call());
        let request = played.call();
        assert_eq!(line(&request), "GET https://h/sdk/GetContext?name=n&allowCreate=true&loginRegionId=r");
        assert_eq!(request.repeat, Repeat::Unsafe);
        assert_eq!(played.end(data(one())).unwrap().id, "c-1");
        let mut played = Played::new(find(r#"{"contextId":"c-1"}"#).unwrap().call());
        assert_eq!(line(&played.call()), "GET https://h/sdk/GetContext?id=c-1&allowCreate=false");
        assert_eq!(played.end(data(json!(null))).unwrap_err().code(), "NOT_FOUND");
        for wrong in [r"{}", r#"{"name":" "}"#, r#"{"contextId":"c","create":true}"#, r#"{"name":1}"#] {
            assert!(find(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn changes_tell_which_context_they_were_made_to() {
        let mut played = Played::new(rename_context("c-1", "ü"));
        assert_eq!(line(&played.call()), "POST https://h/sdk/ModifyContext?id=c-1&name=%C3%BC");
        assert_eq!(played.end(data(json!(null))), Ok("c-1".to_owned()));
        assert_eq!(line(&Played::new(delete_context("c-1")).call()), "POST https://h/sdk/DeleteContext?id=c-1");
    }
}
