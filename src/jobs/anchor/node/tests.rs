#![allow(clippy::unwrap_used)]
use super::super::rpc::Plain;
use super::*;
use crate::secret::Secret;
use axum::{Json, Router, routing::post};

const HASH: Word = [0x7a; 32];

/// Asks a node that has one answer to each method: a `result`, or an `error` where it has a code.
async fn asking<T>(
    answers: Value,
    question: impl AsyncFnOnce(Node<'_>) -> Result<T, RpcError>,
) -> Result<T, RpcError> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    let answer = async move |Json(asked): Json<Value>| {
        let known = answers.get(asked["method"].as_str().unwrap());
        let none = json!({"code": -32601, "message": "the method does not exist"});
        let answer = known.unwrap_or(&none);
        let name = match answer.get("code") {
            Some(_) => "error",
            None => "result",
        };
        Json(json!({"jsonrpc": "2.0", "id": asked["id"], name: answer}))
    };
    let app = Router::new().route("/", post(answer));
    let server = tokio::spawn(async { axum::serve(listener, app).await });
    let rpc = Rpc::new(&Secret::new(address), Plain::Loopback).unwrap();
    let answer = question(Node(&rpc)).await;
    server.abort();
    answer
}

fn word_of(byte: u8) -> Value {
    hex_of(&[byte; 32]).into()
}

fn receipt() -> Value {
    json!({
        "transactionHash": word_of(0x7a),
        "blockHash": word_of(0xb1),
        "blockNumber": "0x10",
        "status": "0x1",
        "logs": [{"address": hex_of(&[0xc0; 20]), "topics": [word_of(1)], "data": "0x0102"}],
    })
}

#[tokio::test]
async fn a_receipt_counts_only_while_its_block_is_in_the_chain() {
    let read = |receipt: Value, block: Value| async move {
        let answers = json!({"eth_getTransactionReceipt": receipt, "eth_getBlockByNumber": block});
        asking(answers, async |node| node.receipt(5, &HASH).await).await
    };
    let block = json!({"hash": word_of(0xb1)});
    let log = ChainLog {
        chain_id: 5,
        contract: [0xc0; 20],
        transaction: HASH,
        block: 16,
        topics: vec![[1; 32]],
        data: vec![1, 2],
    };
    let wanted = Receipt {
        block: 16,
        block_hash: [0xb1; 32],
        succeeded: true,
        logs: vec![log],
    };
    let found = read(receipt(), block.clone()).await.unwrap();
    assert_eq!(found, Some(wanted));
    // In a pool, thrown out by another block, and above the head of a chain that was cut back.
    let none = read(Value::Null, block.clone()).await;
    assert_eq!(none.unwrap(), None);
    for other in [json!({"hash": word_of(0xb2)}), Value::Null] {
        assert_eq!(read(receipt(), other).await.unwrap(), None);
    }
    for (name, wrong) in [
        ("transactionHash", word_of(0x7b)),
        ("blockHash", json!("0xb1")),
        ("blockNumber", json!(16)),
        ("status", Value::Null),
        ("logs", Value::Null),
        (
            "logs",
            json!([{"address": "0x00", "topics": [], "data": "0x"}]),
        ),
        (
            "logs",
            json!([{"address": hex_of(&[0; 20]), "topics": ["0x01"], "data": "0x"}]),
        ),
    ] {
        let mut receipt = receipt();
        receipt[name] = wrong;
        let answer = read(receipt, block.clone()).await;
        assert!(
            matches!(answer, Err(RpcError::Malformed { .. })),
            "{name}: {answer:?}"
        );
    }
    let mut reverted = receipt();
    reverted["status"] = json!("0x0");
    assert!(!read(reverted, block).await.unwrap().unwrap().succeeded);
}

#[tokio::test]
async fn a_revert_is_told_from_other_refusals() {
    let to = WalletAddress::from_bytes([0xc0; 20]);
    let estimate = |answer: Value| async move {
        let answers = json!({"eth_estimateGas": answer});
        asking(answers, async |node| node.estimate(&to, &to, &[1]).await).await
    };
    let gas = estimate(json!("0x7530")).await.unwrap();
    assert_eq!(gas, Estimate::Gas(30_000));
    for (code, message, reverts) in [
        (3, "execution failed: not the master wallet", true),
        (-32000, "execution reverted: not the master wallet", true),
        (
            -32603,
            "VM Exception while processing transaction: revert",
            true,
        ),
        (-32000, "header not found", false),
    ] {
        let answer = estimate(json!({"code": code, "message": message})).await;
        match answer {
            Ok(Estimate::Reverts(said)) if reverts => assert_eq!(said, message),
            Err(RpcError::Refused { .. }) if !reverts => {}
            other => panic!("{message}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_the_node_has_already_is_sent() {
    let send = |answer: Value| async move {
        let answers = json!({"eth_sendRawTransaction": answer});
        asking(answers, async |node| node.send(&[2]).await).await
    };
    assert_eq!(send(word_of(1)).await, Ok(()));
    for (message, sent) in [
        ("already known", true),
        ("AlreadyKnown", true),
        ("Known transaction", true),
        ("nonce too low", false),
        ("replacement transaction underpriced", false),
    ] {
        let answer = send(json!({"code": -32000, "message": message})).await;
        assert_eq!(answer.is_ok(), sent, "{message}");
    }
}

#[tokio::test]
async fn a_chain_without_a_base_fee_has_no_price_and_a_node_without_a_tip_has_the_usual_one() {
    let price = |answers: Value| async move {
        asking(answers, async |node| node.price(node.head().await?).await).await
    };
    let block = json!({"number": "0x10", "baseFeePerGas": "0x0a"});
    let both = json!({"eth_getBlockByNumber": block, "eth_maxPriorityFeePerGas": "0x2"});
    let wanted = Price { base: 10, tip: 2 };
    assert_eq!(price(both).await.unwrap(), Some(wanted));
    let base = 10;
    let tip = USUAL_TIP;
    let one = json!({"eth_getBlockByNumber": block});
    assert_eq!(price(one).await.unwrap(), Some(Price { base, tip }));
    let old = json!({"eth_getBlockByNumber": {"number": "0x10"}});
    assert_eq!(price(old).await.unwrap(), None);
    for wrong in [
        json!({}),
        json!({"number": "16"}),
        json!({"number": "0x10", "baseFeePerGas": 7}),
    ] {
        let answer = price(json!({"eth_getBlockByNumber": wrong})).await;
        assert!(
            matches!(answer, Err(RpcError::Malformed { .. })),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn numbers_are_read_strictly_and_a_huge_balance_is_a_large_one() {
    let wallet = WalletAddress::from_bytes([1; 20]);
    for (text, wanted) in [
        ("0x0", Some(0)),
        ("0x10", Some(16)),
        ("0xffffffffffffffff", Some(u64::MAX)),
        ("0x10000000000000000", None),
        ("0x", None),
        ("10", None),
        ("0x+1", None),
        ("0xg", None),
    ] {
        let answers = json!({"eth_chainId": text});
        let answer = asking(answers, async |node| node.chain_id().await).await;
        assert_eq!(answer.ok(), wanted, "{text}");
    }
    for (text, wanted) in [
        ("0x10", Some(16)),
        ("0x1ffffffffffffffffffffffffffffffffff", Some(u128::MAX)),
        ("0x", None),
    ] {
        let answers = json!({"eth_getBalance": text});
        let answer = asking(answers, async |node| node.balance(&wallet).await).await;
        assert_eq!(answer.ok(), wanted, "{text}");
    }
}
