//! Frames: what is cut into them comes out of them, and nothing else does.

mod confined;

use super::protocol::{HEADER, MAX_FRAME, MAX_MESSAGE, frames, receive};

#[test]
fn a_message_of_any_size_comes_out_as_it_went_in() {
    for size in [0, 1, MAX_FRAME - HEADER, MAX_FRAME - HEADER + 1, MAX_FRAME, 300_000, MAX_MESSAGE] {
        let message: Vec<u8> = (0..size).map(|at| at.to_le_bytes()[0]).collect();
        let cut = frames(7, &message).unwrap();
        let (mut at, mut count) = (0, 0);
        while at < cut.len() {
            let body = u32::from_le_bytes(cut[at..at + 4].try_into().unwrap()) as usize;
            assert!(body + HEADER <= MAX_FRAME, "a frame of {body} bytes");
            (at, count) = (at + HEADER + body, count + 1);
        }
        assert_eq!(count, size.div_ceil(MAX_FRAME - HEADER).max(1));
        let both = [&cut[..], &frames(8, b"after it").unwrap()].concat();
        let mut from = &both[..];
        let (id, received) = receive(&mut from).unwrap().unwrap();
        assert_eq!((id, &received[..]), (7, &message[..]));
        assert_eq!(receive(&mut from).unwrap().map(|(id, _)| id), Some(8));
        assert!(receive(&mut from).unwrap().is_none(), "the end between two messages is an end");
    }
}

#[test]
fn a_message_that_is_too_long_is_not_sent() {
    assert!(frames(1, &vec![0; MAX_MESSAGE + 1]).is_err());
}

#[test]
fn an_end_within_a_message_is_an_error() {
    let cut = frames(1, &vec![0; MAX_FRAME * 2]).unwrap();
    for end in [1, HEADER, HEADER + 1, MAX_FRAME, MAX_FRAME + 1, cut.len() - 1] {
        assert!(receive(&mut &cut[..end]).is_err(), "cut to {end} bytes");
    }
}
