//! A file as the body of an answer: read piece by piece as the peer takes it.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};

/// Bytes of the file in memory at a time.
const PIECE: u64 = 64 * 1024;

/// The file at `path`, of the length that it has now. A file that turns out shorter breaks the
/// answer off.
///
/// # Errors
/// When the file cannot be opened.
pub async fn file_body(path: &Path) -> io::Result<Body> {
    let file = File::open(path).await?;
    let left = file.metadata().await?.len();
    Ok(Body::new(FileBody { file, left }))
}

struct FileBody {
    file: File,
    left: u64,
}

impl HttpBody for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; self.left.min(PIECE) as usize];
        let mut read = ReadBuf::new(&mut piece);
        if let Err(error) = ready!(Pin::new(&mut self.file).poll_read(context, &mut read)) {
            return Poll::Ready(Some(Err(error)));
        }
        let length = read.filled().len();
        if length == 0 {
            return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
        }
        piece.truncate(length);
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_file_comes_in_pieces_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        for length in [0, 1, PIECE, 2 * PIECE + 1] {
            let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
            std::fs::write(&path, &bytes).unwrap();
            let mut body = file_body(&path).await.unwrap();
            assert_eq!(body.size_hint().exact(), Some(length));
            let (mut came, mut pieces) = (Vec::new(), 0);
            while let Some(frame) = body.frame().await {
                let piece = frame.unwrap().into_data().unwrap();
                assert!(piece.len() as u64 <= PIECE);
                came.extend_from_slice(&piece);
                pieces += 1;
            }
            assert!(came == bytes && pieces >= length.div_ceil(PIECE), "{length}");
        }
    }

    #[tokio::test]
    async fn a_file_that_got_shorter_is_no_whole_answer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result");
        std::fs::write(&path, vec![7; 2 * PIECE as usize]).unwrap();
        let body = file_body(&path).await.unwrap();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(10).unwrap();
        assert!(body.collect().await.is_err());
        assert!(file_body(&dir.path().join("none")).await.is_err());
    }
}
