//! Bare clients, so that a test sees and sends exactly what is on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than anything here takes, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// The code of the first error.
    pub(super) fn code(&self) -> String {
        self.json()["errors"][0]["extensions"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Sends one request and reads the answer to its end.
pub(super) async fn send(address: SocketAddr, head: &str, body: &[u8]) -> Answer {
    let stream = request(address, head, body).await;
    read_answer(stream).await
}

/// Sends one request; `head` is the request line and headers, a line each.
pub(super) async fn request(address: SocketAddr, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let mut bytes =
        format!("{}\r\nhost: {address}\r\nconnection: close\r\n", head.trim().replace('\n', "\r\n"));
    if !body.is_empty() {
        bytes.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    bytes.push_str("\r\n");
    stream.write_all(bytes.as_bytes()).await.expect("the head is sent");
    // A server that refuses may close before it has read all.
    let _ = stream.write_all(body).await;
    stream
}

pub(super) async fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is as good as its end.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("an answer in time");
    let text = String::from_utf8(bytes).expect("UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP: {text:?}"));
    let status = head[9..12].parse().expect("a status");
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body) } else { body.to_owned() };
    Answer { status, head: head.to_owned(), body }
}

fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        body.push_str(&rest[..size]);
        text = &rest[size + 2..];
    }
    body
}

/// Posts a request as most clients do.
pub(super) async fn post(address: SocketAddr, body: &Value) -> Answer {
    post_with(address, "accept: application/graphql-response+json", body).await
}

/// Posts a request with headers of one's own.
pub(super) async fn post_with(address: SocketAddr, headers: &str, body: &Value) -> Answer {
    let head = format!("POST /graphql HTTP/1.1\ncontent-type: application/json\n{headers}");
    send(address, &head, body.to_string().as_bytes()).await
}

/// Posts a document.
pub(super) async fn query(address: SocketAddr, text: &str) -> Answer {
    post(address, &json!({ "query": text })).await
}

/// A WebSocket (RFC 6455), by hand.
pub(super) struct Socket(TcpStream);

/// What came in.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Text(Value),
    Ping,
    Close(u16),
    /// The connection ended without a close frame.
    End,
}

impl Socket {
    /// Opens a socket for `graphql-transport-ws`.
    pub(super) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "sec-websocket-protocol: graphql-transport-ws").await.expect("an upgrade")
    }

    /// Opens a socket with headers of one's own, or gives the status that refused it.
    pub(super) async fn open_with(address: SocketAddr, headers: &str) -> Result<Self, u16> {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let head = format!(
            "GET /graphql HTTP/1.1\nhost: {address}\nconnection: Upgrade\nupgrade: websocket\n\
             sec-websocket-version: 13\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n{headers}\n\n"
        );
        stream.write_all(head.replace('\n', "\r\n").as_bytes()).await.expect("the head is sent");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(timeout(PATIENCE, stream.read_u8()).await.expect("in time").expect("a head"));
        }
        match String::from_utf8_lossy(&head[9..12]).parse() {
            Ok(101) => Ok(Self(stream)),
            other => Err(other.expect("a status")),
        }
    }

    /// A socket after the acknowledgement.
    pub(super) async fn ready(address: SocketAddr) -> Self {
        let mut socket = Self::open(address).await;
        socket.send(&json!({ "type": "connection_init" })).await;
        assert_eq!(socket.next().await, Frame::Text(json!({ "type": "connection_ack" })));
        socket
    }

    pub(super) async fn send(&mut self, message: &Value) {
        self.frame(1, message.to_string().as_bytes()).await;
    }

    pub(super) async fn subscribe(&mut self, id: &str, text: &str) {
        self.send(&json!({ "id": id, "type": "subscribe", "payload": { "query": text } })).await;
    }

    /// Sends a frame, masked with zeros.
    pub(super) async fn frame(&mut self, opcode: u8, payload: &[u8]) {
        let mut bytes = vec![0x80 | opcode];
        match payload.len() {
            length @ 0..126 => bytes.push(0x80 | length as u8),
            length @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&(length as u16).to_be_bytes());
            }
            length => {
                bytes.push(0x80 | 127);
                bytes.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(payload);
        // The server may have closed already; what it said is read later.
        let _ = self.0.write_all(&bytes).await;
    }

    /// The next frame.
    pub(super) async fn next(&mut self) -> Frame {
        timeout(PATIENCE, self.read()).await.expect("a frame in time").unwrap_or(Frame::End)
    }

    async fn read(&mut self) -> Option<Frame> {
        let opcode = self.0.read_u8().await.ok()? & 0x0f;
        let length = match self.0.read_u8().await.ok()? {
            126 => usize::from(self.0.read_u16().await.ok()?),
            127 => usize::try_from(self.0.read_u64().await.ok()?).ok()?,
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        self.0.read_exact(&mut payload).await.ok()?;
        Some(match opcode {
            1 => Frame::Text(serde_json::from_slice(&payload).expect("JSON")),
            8 => Frame::Close(u16::from_be_bytes([payload[0], payload[1]])),
            9 => Frame::Ping,
            other => panic!("frame of type {other}"),
        })
    }

    /// The next message, which must be one.
    pub(super) async fn message(&mut self) -> Value {
        match self.next().await {
            Frame::Text(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    /// Reads until the socket ends; the code it was closed with.
    pub(super) async fn closed(&mut self) -> Option<u16> {
        loop {
            match self.next().await {
                Frame::Close(code) => return Some(code),
                Frame::End => return None,
                Frame::Text(_) | Frame::Ping => {}
            }
        }
    }
}
