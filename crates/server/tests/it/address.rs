//! `wsUrl` and `linkUrl`.

use serde_json::json;

use crate::support::{KEY, Reply, TestServer};

#[tokio::test]
async fn the_urls_follow_the_host_of_the_request() {
    let server = TestServer::start().await;
    let request = server
        .http
        .post(server.url("/mcp/createSession"))
        .bearer_auth(KEY)
        .header("Host", "code.example.org:8443")
        .header("X-Forwarded-Proto", "https")
        .json(&json!({}));
    let data = Reply::of(request.send().await.expect("an answer")).await.ok();
    let id = data["sessionId"].as_str().expect("an id");
    assert_eq!(data["wsUrl"], format!("wss://code.example.org:8443/ws/{id}"));
    assert_eq!(data["linkUrl"], format!("https://code.example.org:8443/link/{id}"));
    // Fetched by another way, it is reached by another way.
    let again = server.post("/mcp/getSession", json!({ "sessionId": id })).await.ok();
    assert_eq!(again["wsUrl"], format!("ws://{}/ws/{id}", server.address));

    let request = server.http.post(server.url("/mcp/createSession")).bearer_auth(KEY).header("Host", "a/b");
    let reply = Reply::of(request.send().await.expect("an answer")).await;
    reply.is_error(400, "InvalidParameter.Value", "Host");
    server.stop().await;
}

#[tokio::test]
async fn the_public_url_goes_first() {
    let server = TestServer::with(|config| config.public_url = Some("https://example.org/agb/".into())).await;
    let data = server.post("/mcp/createSession", json!({})).await.ok();
    let id = data["sessionId"].as_str().expect("an id");
    assert_eq!(data["wsUrl"], format!("wss://example.org/agb/ws/{id}"));
    server.stop().await;
}
