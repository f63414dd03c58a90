#![allow(clippy::unwrap_used)]
use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

const KEY: &str = "0123456789abcdef";

fn rpc(address: &str) -> Result<Rpc, RpcError> {
    Rpc::new(&Secret::new(address.to_owned()), Plain::Loopback)
}

/// What a client makes of one answer: a status line with headers, and a body.
async fn answered(head: &str, body: &str) -> Result<Value, RpcError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let rpc = rpc(&format!(
        "http://u:{KEY}@127.0.0.1:{port}/v3/{KEY}?key={KEY}"
    ))
    .unwrap();
    let answer = format!(
        "HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let serve = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.unwrap();
        // The client may have had enough before the end.
        let _ = socket.write_all(answer.as_bytes()).await;
        socket
    };
    let (answer, _socket) = tokio::join!(rpc.call("eth_test", json!([])), serve);
    if let Err(error) = &answer {
        let told = format!("{error} {error:?} {rpc:?}");
        assert!(!told.contains(KEY), "{told}");
    }
    answer
}

async fn body(body: &str) -> Result<Value, RpcError> {
    answered("200 OK", body).await
}

#[tokio::test]
async fn only_the_answer_to_the_question_is_one() {
    let good = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    assert_eq!(body(good).await.unwrap(), "0x1");
    let null = r#"{"jsonrpc":"2.0","id":1,"result":null,"error":null}"#;
    assert_eq!(body(null).await.unwrap(), Value::Null);
    for bad in [
        "",
        "null",
        "<html>",
        "[]",
        r#"[{"jsonrpc":"2.0","id":1,"result":"0x1"}]"#,
        r#"{"id":1,"result":"0x1"}"#,
        r#"{"jsonrpc":"1.0","id":1,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":"1","result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":null,"result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","result":"0x1"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":2,"error":{"code":3,"message":"m"}}"#,
    ] {
        let answer = body(bad).await;
        assert!(
            matches!(answer, Err(RpcError::Malformed { .. })),
            "{bad}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_told_cleaned_and_without_the_key() {
    let words = format!("no project {KEY} here\\u001b[31m");
    for id in ["1", "null"] {
        let refusal = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"{words}"}}}}"#
        );
        for status in ["200 OK", "401 Unauthorized"] {
            let error = answered(status, &refusal).await.unwrap_err();
            assert!(error.is_unknown_method(), "{error:?}");
            let told = error.to_string();
            assert!(told.contains("no project ••• here\u{fffd}[31m"), "{told}");
        }
    }
    let long = format!(
        r#"{{"jsonrpc":"2.0","id":1,"error":{{"message":"{}"}}}}"#,
        "x".repeat(9000)
    );
    assert!(body(&long).await.unwrap_err().to_string().len() < 300);
}

#[tokio::test]
async fn statuses_redirects_and_endless_answers_are_errors() {
    let good = r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#;
    for (head, status) in [
        ("500 Oops", 500),
        ("429 Slow", 429),
        ("302 Found\r\nlocation: http://127.0.0.1:1/", 302),
    ] {
        for text in ["", good] {
            let error = answered(head, text).await.unwrap_err();
            assert!(
                matches!(error, RpcError::Http { status: s, .. } if s == status),
                "{error:?}"
            );
        }
    }
    let fill = MAX_BODY - r#"{"jsonrpc":"2.0","id":1,"result":""}"#.len();
    for (more, fits) in [(0, true), (1, false)] {
        let filled = "x".repeat(fill + more);
        let large = format!(r#"{{"jsonrpc":"2.0","id":1,"result":"{filled}"}}"#);
        assert_eq!(body(&large).await.is_ok(), fits, "{more}");
    }
}

#[tokio::test]
async fn a_node_that_says_nothing_is_left_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut rpc = rpc(&format!("http://127.0.0.1:{port}/")).unwrap();
    rpc.deadline = Duration::from_millis(50);
    let error = rpc.call("eth_test", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Late { .. }), "{error:?}");
    drop(listener);
    rpc.deadline = DEADLINE;
    let error = rpc.call("eth_test", json!([])).await.unwrap_err();
    assert!(matches!(error, RpcError::Unreachable { .. }), "{error:?}");
}

#[test]
fn plain_http_is_for_this_machine_unless_it_is_allowed() {
    for good in [
        "https://node.example/v3/k",
        "http://127.0.0.1:8545",
        "http://[::1]:8545",
        "http://localhost/",
    ] {
        assert!(rpc(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "node.example",
        "http://node.example/",
        "http://10.0.0.1/",
        "ws://127.0.0.1/",
        "file:///x",
        "http://127.0.0.1.example/",
    ] {
        let error = rpc(bad).unwrap_err();
        assert!(matches!(error, RpcError::Address(_)), "{bad}: {error:?}");
    }
    let anywhere = Rpc::new(&Secret::new("http://10.0.0.1/".to_owned()), Plain::Anywhere);
    assert!(anywhere.is_ok());
    let place = rpc(&format!(
        "https://u:{KEY}@node.example:8443/{KEY}?{KEY}#{KEY}"
    ))
    .unwrap();
    assert_eq!(place.place(), "https://node.example:8443");
}
