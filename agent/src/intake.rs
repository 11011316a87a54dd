//! Vectors as applications write them: `.npy`, `.safetensors`, `.f32` and `.f64`.
//!
//! Everything becomes `f64`, in the order of the file; several safetensors follow each other by
//! name. Nothing is guessed: another element type, a pickled array, a column-major matrix, a
//! missing or a surplus byte is an error.

use std::ops::Range;
use std::path::Path;

use npyz::{NpyFile, Order};
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sealsum_daemon::Failure;
use sealsum_daemon::codes::{self, Code};
use zeroize::Zeroizing;

/// Longest header of an `.npy` or `.safetensors` file, in bytes. Names and shapes of a million
/// tensors do not occur; a header that claims it is an attack on memory.
const HEADER_MAX: usize = 1 << 20;
const HINT_FORMATS: &str = "write the vector as .npy, .safetensors, .f32 or .f64";

/// A vector that may be personal data: erased when dropped.
pub type Vector = Zeroizing<Vec<f64>>;

/// How a vector is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's array file.
    Npy,
    /// Hugging Face safetensors.
    Safetensors,
    /// IEEE 754 binary32, little-endian, nothing else.
    F32,
    /// IEEE 754 binary64, little-endian, nothing else.
    F64,
}

impl Format {
    /// By the ending of a file's name.
    ///
    /// # Errors
    /// `file_format`.
    pub fn of_file(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("npy") => Ok(Self::Npy),
            Some("safetensors") => Ok(Self::Safetensors),
            Some("f32") => Ok(Self::F32),
            Some("f64") => Ok(Self::F64),
            _ => {
                let what = format!("{}: unknown kind of file", path.display());
                Err(Failure::new(codes::FILE_FORMAT, what, HINT_FORMATS))
            }
        }
    }

    /// By the content type of a request.
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        match content_type {
            "application/x-npy" => Some(Self::Npy),
            "application/x-safetensors" => Some(Self::Safetensors),
            "application/x-f32" => Some(Self::F32),
            "application/x-f64" => Some(Self::F64),
            _ => None,
        }
    }

    /// The ending of a file's name.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Safetensors => "safetensors",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// The content type of a request.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Npy => "application/x-npy",
            Self::Safetensors => "application/x-safetensors",
            Self::F32 => "application/x-f32",
            Self::F64 => "application/x-f64",
        }
    }
}

/// Reads all coordinates of `bytes`, which errors call `name`.
///
/// # Errors
/// `file_format`, `file_truncated`, `not_finite` with the index of the first offender.
pub fn read(format: Format, name: &str, bytes: &[u8]) -> Result<Vector, Failure> {
    let vector = match format {
        Format::Npy => read_npy(bytes),
        Format::Safetensors => read_safetensors(bytes),
        Format::F32 => read_raw(bytes, f32::from_le_bytes).map(|values| widen(&values)),
        Format::F64 => read_raw(bytes, f64::from_le_bytes).map(Zeroizing::new),
    };
    let vector = vector.map_err(|defect| defect.of(name))?;
    check_finite(name, &vector)?;
    Ok(vector)
}

/// Refuses a vector of another length than the task's.
///
/// # Errors
/// `wrong_length`.
pub fn check_length(name: &str, found: usize, task: &str, expected: u64) -> Result<(), Failure> {
    if u64::try_from(found).is_ok_and(|found| found == expected) {
        return Ok(());
    }
    Err(Failure::new(
        codes::WRONG_LENGTH,
        format!("{name}: {found} coordinates where task {task} has {expected}"),
        format!("submit a vector of exactly {expected} coordinates"),
    ))
}

fn check_finite(name: &str, vector: &[f64]) -> Result<(), Failure> {
    let Some(index) = vector.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let what = if vector[index].is_nan() { "NaN" } else { "an infinity" };
    Err(Failure::new(
        codes::NOT_FINITE,
        format!("{name}: {what} at index {index}"),
        "look for the division or overflow that made it",
    )
    .with_index(index as u64))
}

/// What is wrong with the bytes, before it is known what the file is called.
struct Defect {
    code: Code,
    why: String,
}

impl Defect {
    fn format(why: impl Into<String>) -> Self {
        Self { code: codes::FILE_FORMAT, why: why.into() }
    }

    fn truncated(why: impl Into<String>) -> Self {
        Self { code: codes::FILE_TRUNCATED, why: why.into() }
    }

    fn of(self, name: &str) -> Failure {
        let hint = if self.code == codes::FILE_TRUNCATED {
            "write the file again and submit it when it is complete"
        } else {
            HINT_FORMATS
        };
        Failure::new(self.code, format!("{name}: {}", self.why), hint)
    }
}

fn widen(values: &[f32]) -> Vector {
    Zeroizing::new(values.iter().map(|value| f64::from(*value)).collect())
}

fn read_raw<T, const N: usize>(
    bytes: &[u8],
    decode: impl Fn([u8; N]) -> T,
) -> Result<Vec<T>, Defect> {
    let (whole, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        let why = format!("{} bytes are no whole number of {N}-byte coordinates", bytes.len());
        return Err(Defect::truncated(why));
    }
    if whole.is_empty() {
        return Err(Defect::truncated("the file is empty"));
    }
    Ok(whole.iter().map(|chunk| decode(*chunk)).collect())
}

/// `\x93NUMPY`, version, header length, header: checked here because npyz allocates what the
/// header claims, and takes time exponential in the depth of its brackets.
fn read_npy(bytes: &[u8]) -> Result<Vector, Defect> {
    let Range { start: header_start, end: header_end } = npy_header(bytes)?;
    if header_end > HEADER_MAX {
        return Err(Defect::format(format!("a header of more than {HEADER_MAX} bytes")));
    }
    if header_end > bytes.len() {
        return Err(Defect::truncated("the file ends within its header"));
    }
    check_flat(&bytes[header_start..header_end])?;
    let file = NpyFile::new(bytes).map_err(|error| Defect::format(error.to_string()))?;
    if file.shape().len() > 1 && file.order() == Order::Fortran {
        return Err(Defect::format("a column-major array; save it with order C"));
    }
    let element = match file.dtype().descr().as_str() {
        "'<f4'" | "'>f4'" => 4,
        "'<f8'" | "'>f8'" => 8,
        other => return Err(Defect::format(format!("elements are {other}, not f4 or f8"))),
    };
    check_payload(bytes.len() - header_end, claimed_len(file.shape())?, element)?;
    let unreadable = |error: std::io::Error| Defect::format(error.to_string());
    if element == 4 {
        let values = file.into_vec::<f32>().map_err(unreadable)?;
        Ok(widen(&values))
    } else {
        file.into_vec::<f64>().map(Zeroizing::new).map_err(unreadable)
    }
}

/// A header of one dictionary with one tuple, the shape; a plain array has no more.
fn check_flat(header: &[u8]) -> Result<(), Defect> {
    let count = |bracket: u8| header.iter().filter(|byte| **byte == bracket).count();
    if count(b'{') <= 1 && count(b'(') <= 1 && count(b'[') == 0 {
        return Ok(());
    }
    Err(Defect::format("its header is not that of a plain array of f4 or f8"))
}

/// Where the header is and the data begin, by the fixed part in front of it.
fn npy_header(bytes: &[u8]) -> Result<Range<usize>, Defect> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    if !bytes.starts_with(MAGIC) {
        return Err(if MAGIC.starts_with(bytes) {
            Defect::truncated("the file ends within its header")
        } else {
            Defect::format("no .npy file inside")
        });
    }
    match bytes[MAGIC.len()..] {
        [1, _, low, high, ..] => Ok(10..10 + usize::from(u16::from_le_bytes([low, high]))),
        [2 | 3, _, a, b, c, d, ..] => Ok(12..12 + u32::from_le_bytes([a, b, c, d]) as usize),
        [] | [1..=3, ..] => Err(Defect::truncated("the file ends within its header")),
        [version, ..] => Err(Defect::format(format!("version {version} of .npy"))),
    }
}

fn claimed_len(shape: &[u64]) -> Result<u64, Defect> {
    let product = shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size));
    product.ok_or(Defect::format("a shape beyond all memory"))
}

fn check_payload(found: usize, elements: u64, element: u64) -> Result<(), Defect> {
    let found = found as u64;
    let expected =
        elements.checked_mul(element).ok_or(Defect::format("a shape beyond all memory"))?;
    if found < expected {
        return Err(Defect::truncated(format!("{found} bytes of {expected}")));
    }
    if found > expected {
        return Err(Defect::format(format!("{} bytes after the array", found - expected)));
    }
    if elements == 0 {
        return Err(Defect::format("an empty array"));
    }
    Ok(())
}

fn read_safetensors(bytes: &[u8]) -> Result<Vector, Defect> {
    let Some((length, _)) = bytes.split_first_chunk::<8>() else {
        return Err(Defect::truncated("the file ends within its header"));
    };
    if u64::from_le_bytes(*length) > HEADER_MAX as u64 {
        return Err(Defect::format(format!("a header of more than {HEADER_MAX} bytes")));
    }
    let file = SafeTensors::deserialize(bytes).map_err(safetensors_defect)?;
    let mut tensors = file.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let mut vector = Zeroizing::new(Vec::with_capacity(bytes.len() / 4));
    for (name, tensor) in tensors {
        let data = tensor.data();
        match tensor.dtype() {
            Dtype::F32 => {
                vector.extend(data.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))))
            }
            Dtype::F64 => vector.extend(data.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b))),
            other => {
                return Err(Defect::format(format!("tensor {name} is {other:?}, not F32 or F64")));
            }
        }
    }
    if vector.is_empty() {
        return Err(Defect::format("no coordinate inside"));
    }
    Ok(vector)
}

fn safetensors_defect(error: SafeTensorError) -> Defect {
    match error {
        SafeTensorError::HeaderTooSmall
        | SafeTensorError::InvalidHeaderLength
        | SafeTensorError::MetadataIncompleteBuffer => {
            Defect::truncated("its header describes more or fewer bytes than there are")
        }
        other => Defect::format(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A version 1.0 file with the given dictionary and payload.
    fn npy(dictionary: &str, payload: &[u8]) -> Vec<u8> {
        let mut header = dictionary.as_bytes().to_vec();
        header.resize((header.len() + 11).next_multiple_of(64) - 11, b' ');
        header.push(b'\n');
        let mut file = b"\x93NUMPY\x01\x00".to_vec();
        file.extend(u16::try_from(header.len()).unwrap().to_le_bytes());
        file.extend(header);
        file.extend(payload);
        file
    }

    fn npy_of(values: &[f64]) -> Vec<u8> {
        let shape =
            format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", values.len());
        npy(&shape, &le(values))
    }

    fn le(values: &[f64]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn safetensors(header: &str, payload: &[u8]) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend(header.as_bytes());
        file.extend(payload);
        file
    }

    fn refused(format: Format, bytes: &[u8]) -> Failure {
        read(format, "x", bytes).map(|_| "a vector").unwrap_err()
    }

    const VALUES: [f64; 3] = [1.5, -2.25, 0.0];

    #[test]
    fn every_format_gives_the_same_vector() {
        let f32s: Vec<u8> = VALUES.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
        let header = r#"{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
            "a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#;
        let swapped = [&f32s[4..], &f32s[..4]].concat();
        let big = npy(
            "{'descr': '>f4', 'fortran_order': False, 'shape': (3, 1), }",
            &VALUES.iter().flat_map(|v| (*v as f32).to_be_bytes()).collect::<Vec<_>>(),
        );
        for (format, bytes) in [
            (Format::Npy, npy_of(&VALUES)),
            (Format::Npy, big),
            (Format::F64, le(&VALUES)),
            (Format::F32, f32s.clone()),
            (Format::Safetensors, safetensors(header, &swapped)),
        ] {
            assert_eq!(*read(format, "x", &bytes).unwrap(), VALUES, "{format:?}");
        }
    }

    #[test]
    fn every_truncation_is_named_as_one() {
        let header = r#"{"a":{"dtype":"F64","shape":[3],"data_offsets":[0,24]}}"#;
        for (format, whole) in [
            (Format::Npy, npy_of(&VALUES)),
            (Format::Safetensors, safetensors(header, &le(&VALUES))),
        ] {
            for cut in 0..whole.len() {
                let failure = refused(format, &whole[..cut]);
                assert_eq!(failure.code, codes::FILE_TRUNCATED, "{format:?} at {cut}: {failure}");
            }
        }
        for cut in (0..24).filter(|cut| cut % 8 != 0 || *cut == 0) {
            assert_eq!(refused(Format::F64, &le(&VALUES)[..cut]).code, codes::FILE_TRUNCATED);
        }
    }

    #[test]
    fn what_is_not_a_vector_is_refused() {
        let long =
            format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({},), }}", u64::MAX);
        let surplus = [npy_of(&VALUES), vec![0]].concat();
        for (format, bytes, word) in [
            (Format::Npy, b"PK\x03\x04 a zip".to_vec(), "no .npy"),
            (Format::Npy, b"\x93NUMPY\x07\x00xxxxxxxxxx".to_vec(), "version 7"),
            (
                Format::Npy,
                npy("{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }", &[0; 4]),
                "<i4",
            ),
            (
                Format::Npy,
                npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", &[0; 8]),
                "|O",
            ),
            (
                Format::Npy,
                npy("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1), }", &[0; 4]),
                "column",
            ),
            (
                Format::Npy,
                npy("{'descr': '<f8', 'fortran_order': False, 'shape': (0,), }", &[]),
                "empty",
            ),
            (Format::Npy, npy(&long, &[0; 8]), "memory"),
            (Format::Npy, npy("nonsense", &[]), ""),
            (Format::Npy, npy(&format!("{{'shape': ({}", "[".repeat(60)), &[]), "plain array"),
            (Format::Npy, npy(&"(".repeat(60_000), &[]), "plain array"),
            (
                Format::Npy,
                npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", &[0; 4]),
                "plain array",
            ),
            (Format::Npy, surplus, "1 bytes after"),
            (Format::Safetensors, [0xff; 16].to_vec(), "header of more"),
            (Format::Safetensors, safetensors("{]", &[]), ""),
            (
                Format::Safetensors,
                safetensors(r#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, &[0; 8]),
                "I64",
            ),
            (Format::Safetensors, safetensors("{}", &[]), "no coordinate"),
        ] {
            let failure = refused(format, &bytes);
            assert_eq!(failure.code, codes::FILE_FORMAT, "{failure}");
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn the_first_value_that_is_no_number_is_named() {
        for (bad, word) in
            [(f64::NAN, "NaN"), (f64::INFINITY, "infinity"), (f64::NEG_INFINITY, "infinity")]
        {
            let failure = refused(Format::F64, &le(&[1.0, bad, bad]));
            assert_eq!((failure.code, failure.index), (codes::NOT_FINITE, Some(1)));
            assert!(failure.message.contains(word));
            assert_eq!(refused(Format::Npy, &npy_of(&[bad])).index, Some(0));
        }
    }

    #[test]
    fn a_length_is_compared_with_the_task() {
        assert!(check_length("x", 15, "penguins", 15).is_ok());
        for wrong in [0, 14, 16] {
            let failure = check_length("x", wrong, "penguins", 15).unwrap_err();
            assert_eq!(failure.code, codes::WRONG_LENGTH);
        }
    }

    #[test]
    fn only_the_promised_endings_are_read() {
        for (name, format) in [
            ("a.npy", Format::Npy),
            ("b/a.safetensors", Format::Safetensors),
            ("a.f32", Format::F32),
            ("a.f64", Format::F64),
        ] {
            assert_eq!(Format::of_file(Path::new(name)).unwrap(), format);
            assert_eq!(Format::of_content_type(format.content_type()), Some(format));
        }
        for name in ["a", "a.npz", "a.pt", "a.csv", ".npy"] {
            assert_eq!(Format::of_file(Path::new(name)).unwrap_err().code, codes::FILE_FORMAT);
        }
    }
}
