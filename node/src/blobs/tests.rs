//! Claims about files of images: what stands under a name is what the name says.

use super::*;

const CONTENT: &[u8] = b"a file of an image";

fn blob() -> Blob {
    let id = BlobId::from_bytes(*blake3::hash(CONTENT).as_bytes());
    Blob { id, length: u64::try_from(CONTENT.len()).unwrap() }
}

fn files(directory: &Path) -> usize {
    std::fs::read_dir(directory).unwrap().count()
}

#[tokio::test]
async fn a_file_that_is_known_by_its_name_is_kept_under_it() {
    let place = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(place.path()).unwrap();
    blobs.receive_named(blob(), CONTENT).await.unwrap();
    assert!(blobs.holds(blob()));
    assert_eq!(std::fs::read(blobs.path(blob().id)).unwrap(), CONTENT);
}

#[tokio::test]
async fn another_file_than_the_one_that_was_wanted_leaves_nothing_behind() {
    let place = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(place.path()).unwrap();
    let longer = [CONTENT, b"!"].concat();
    for other in [&CONTENT[1..], &longer[..], b"another file of it"] {
        let refused = blobs.receive_named(blob(), other).await.unwrap_err();
        assert!(matches!(refused, Error::Other), "{refused}");
    }
    let refused = blobs.receive_named(blob(), &[][..]).await.unwrap_err();
    assert!(matches!(refused, Error::Empty), "{refused}");
    assert!(!blobs.holds(blob()));
    assert_eq!(files(place.path()), 0);
}
