//! The Palmer penguins (CC0) and multinomial logistic regression on four of their measures.

use std::path::Path;

use crate::Outcome;

const MEASURES: usize = 4;
const SPECIES: [&str; 3] = ["Adelie", "Chinstrap", "Gentoo"];
const INPUTS: usize = MEASURES + 1;
/// Coordinates of a model: one weight for each measure and one offset, for each species.
pub(crate) const COORDINATES: usize = INPUTS * SPECIES.len();

/// Bill length and depth (mm), flipper length (mm), body mass (g): typical value and spread.
/// Public constants, so that no device's data shapes what another sends.
const SCALING: [(f64, f64); MEASURES] = [(44.0, 5.5), (17.0, 2.0), (200.0, 14.0), (4200.0, 800.0)];

const LEARNING_RATE: f64 = 0.5;
/// Every fifth penguin is kept for testing.
const TEST_EVERY: usize = 5;

/// A model: species by species, the weights of the measures and then the offset.
pub(crate) type Model = [f64; COORDINATES];

/// One penguin: its scaled measures with a constant 1, and the index of its species.
pub(crate) struct Penguin {
    inputs: [f64; INPUTS],
    species: usize,
}

/// The penguins for training and those for testing; incomplete rows are left out.
pub(crate) fn load(path: &Path) -> Outcome<(Vec<Penguin>, Vec<Penguin>)> {
    let table = std::fs::read_to_string(path)?;
    let (mut training, mut test) = (Vec::new(), Vec::new());
    for (number, penguin) in table.lines().skip(1).filter_map(parse).enumerate() {
        if number % TEST_EVERY == TEST_EVERY - 1 { &mut test } else { &mut training }.push(penguin);
    }
    if training.is_empty() || test.is_empty() {
        return Err(format!("{}: no penguins found", path.display()).into());
    }
    Ok((training, test))
}

/// The penguins of one device.
pub(crate) fn shard(training: Vec<Penguin>, shard: usize, shards: usize) -> Vec<Penguin> {
    training.into_iter().skip(shard).step_by(shards).collect()
}

fn parse(line: &str) -> Option<Penguin> {
    let fields: Vec<&str> = line.split(',').collect();
    let species = SPECIES.iter().position(|name| fields.first() == Some(name))?;
    let mut inputs = [1.0; INPUTS];
    for (measure, (typical, spread)) in SCALING.iter().enumerate() {
        inputs[measure] = (fields.get(2 + measure)?.parse::<f64>().ok()? - typical) / spread;
    }
    Some(Penguin { inputs, species })
}

/// Takes `steps` full-batch gradient steps from `model`.
pub(crate) fn train(model: &mut Model, penguins: &[Penguin], steps: usize) {
    for _ in 0..steps {
        let mut gradient = [0.0; COORDINATES];
        for penguin in penguins {
            let likelihoods = likelihoods(model, penguin);
            for (species, likelihood) in likelihoods.iter().enumerate() {
                let error = likelihood - f64::from(u8::from(species == penguin.species));
                for (input, value) in penguin.inputs.iter().enumerate() {
                    gradient[species * INPUTS + input] += error * value;
                }
            }
        }
        for (weight, slope) in model.iter_mut().zip(gradient) {
            *weight -= LEARNING_RATE * slope / penguins.len() as f64;
        }
    }
}

/// Share of `penguins` whose species the model names.
pub(crate) fn accuracy(model: &Model, penguins: &[Penguin]) -> f64 {
    let right = penguins.iter().filter(|penguin| {
        let likelihoods = likelihoods(model, penguin);
        let best = (0..SPECIES.len()).max_by(|a, b| likelihoods[*a].total_cmp(&likelihoods[*b]));
        best == Some(penguin.species)
    });
    right.count() as f64 / penguins.len() as f64
}

fn likelihoods(model: &Model, penguin: &Penguin) -> [f64; SPECIES.len()] {
    let mut scores = [0.0; SPECIES.len()];
    for (score, weights) in scores.iter_mut().zip(model.chunks(INPUTS)) {
        *score = weights.iter().zip(penguin.inputs).map(|(weight, input)| weight * input).sum();
    }
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = scores.iter().map(|score| (score - highest).exp()).sum();
    scores.map(|score| (score - highest).exp() / total)
}

/// A model as raw little-endian float64.
pub(crate) fn to_bytes(model: &Model) -> Vec<u8> {
    model.iter().flat_map(|weight| weight.to_le_bytes()).collect()
}

/// Reads what [`to_bytes`] wrote.
pub(crate) fn from_bytes(bytes: &[u8]) -> Outcome<Model> {
    if bytes.len() != COORDINATES * 8 {
        return Err(format!("a model has {} bytes, not {}", COORDINATES * 8, bytes.len()).into());
    }
    let mut model = [0.0; COORDINATES];
    for (weight, word) in model.iter_mut().zip(bytes.chunks_exact(8)) {
        *weight = f64::from_le_bytes(word.try_into()?);
    }
    Ok(model)
}
