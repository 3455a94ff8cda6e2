//! A server of HTTP/2 that is made of single frames, and so can do what no library would (RFC 9113).

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
/// `END_STREAM`, and `ACK` of settings.
const END: u8 = 1;
const END_HEADERS: u8 = 4;
/// `:status: 200` in the static table.
const STATUS_200: &[u8] = &[0x88];
/// `:status: 400` there.
const STATUS_400: &[u8] = &[0x8c];
/// Error codes.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const REFUSED_STREAM: u32 = 7;

pub(crate) struct Frames<S>(S);

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    /// Begins a connection.
    pub(crate) async fn on(mut stream: S) -> Self {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await.unwrap();
        let mut frames = Self(stream);
        frames.write(SETTINGS, 0, 0, &[]).await;
        frames
    }

    /// The stream of the next request, once all of that is there; `None` where the connection ended.
    pub(crate) async fn request(&mut self) -> Option<u32> {
        self.next(|kind, flags| matches!(kind, DATA | HEADERS) && flags & END != 0).await
    }

    /// The stream of the next request, once its head is there; `None` where the connection ended.
    pub(crate) async fn head(&mut self) -> Option<u32> {
        self.next(|kind, _| kind == HEADERS).await
    }

    /// The stream of the next frame that is `wanted` for its kind and flags.
    async fn next(&mut self, wanted: impl Fn(u8, u8) -> bool) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [_, a, b, c, kind, flags, stream @ ..] = [&[0], &head[..]].concat().try_into().unwrap_or([0; 10]);
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            match kind {
                SETTINGS if flags & END == 0 => self.write(SETTINGS, END, 0, &[]).await,
                _ if wanted(kind, flags) => return Some(u32::from_be_bytes(stream)),
                _ => {}
            }
        }
    }

    /// Answers 400 without a body.
    pub(crate) async fn refuse(&mut self, stream: u32) {
        self.write(HEADERS, END | END_HEADERS, stream, STATUS_400).await;
    }

    /// Answers 200 without a body.
    pub(crate) async fn answer(&mut self, stream: u32) {
        self.write(HEADERS, END | END_HEADERS, stream, STATUS_200).await;
    }

    pub(crate) async fn reset(&mut self, stream: u32, code: u32) {
        self.write(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
    }

    /// Says that streams beyond `last` were not looked at.
    pub(crate) async fn go_away(&mut self, last: u32, code: u32) {
        self.write(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat()).await;
    }

    async fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        // The other side may have gone.
        let _ = self.0.write_all(&frame).await;
        let _ = self.0.flush().await;
    }
}
