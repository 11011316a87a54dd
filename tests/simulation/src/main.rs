//! scratch
use sealsum_simulation::history::History;
use sealsum_simulation::tally::Tally;
fn main() {
    let args: Vec<u64> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let mut tally = Tally::default();
    let start = std::time::Instant::now();
    for seed in args[0]..args[1] {
        let told = History::of_seed(seed);
        if let Some(v) = &told.violation {
            println!("seed {seed}: {v}");
        }
        tally.add(&told.tally);
        if args.len() > 2 { println!("{seed} {:?} {:?}", sealsum_simulation::world::World::draw(seed), told.tally.rounds); }
    }
    println!("{}", serde_json::to_string_pretty(&tally).unwrap());
    println!("{:?}", start.elapsed() / (args[1] - args[0]) as u32);
}
