//! Devices on several threads: each thread owns some of them for the whole round.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use sealsum_protocol::server::Stage;
use sealsum_protocol::task::RoundSpec;
use sealsum_protocol::time::Now;
use sealsum_test_fleet::{Registry, Said};

use crate::device::Actor;
use crate::world::World;

type Told = Vec<(usize, Arc<[u8]>)>;
type Spoken = Vec<(usize, Vec<Said>)>;

/// What a thread is to do with its devices.
enum Order {
    Enter(Box<RoundSpec>, Now),
    Hear(Stage, Told, Now),
}

/// All threads. They end when the crew is dropped.
pub(super) struct Crew(Vec<(Sender<Order>, Receiver<Spoken>)>);

impl Crew {
    pub(super) fn hire(world: &World, registry: &Registry) -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let hire = |core: usize| {
            let (orders, to_do) = channel();
            let (report, spoken) = channel();
            let (world, registry) = (world.clone(), registry.clone());
            thread::spawn(move || {
                let mine = (core..world.devices).step_by(cores);
                let devices =
                    mine.map(|index| Actor::new(index, Registry::beside(&registry))).collect();
                work(&world, devices, &to_do, &report);
            });
            (orders, spoken)
        };
        Self((0..cores).map(hire).collect())
    }

    pub(super) fn enter(&self, spec: RoundSpec, now: Now) -> Spoken {
        self.order(|_| Order::Enter(Box::new(spec.clone()), now))
    }

    pub(super) fn hear(&self, stage: Stage, told: Told, now: Now) -> Spoken {
        let cores = self.0.len();
        self.order(|core| {
            let own = told.iter().filter(|(device, _)| device % cores == core);
            Order::Hear(stage, own.cloned().collect(), now)
        })
    }

    fn order(&self, order: impl Fn(usize) -> Order) -> Spoken {
        for (core, (orders, _)) in self.0.iter().enumerate() {
            orders.send(order(core)).expect("the thread waits for orders");
        }
        let reports = self.0.iter().map(|(_, spoken)| spoken.recv());
        let mut all: Spoken =
            reports.flat_map(|report| report.expect("the thread reports")).collect();
        all.sort_by_key(|(device, _)| *device);
        all
    }
}

fn work(world: &World, mut devices: Vec<Actor>, orders: &Receiver<Order>, report: &Sender<Spoken>) {
    while let Ok(order) = orders.recv() {
        let spoken = match order {
            Order::Enter(spec, now) => {
                devices.iter_mut().map(|device| enter(world, device, &spec, now)).collect()
            }
            Order::Hear(stage, told, now) => told
                .into_iter()
                .map(|(index, bytes)| {
                    let device = devices.iter_mut().find(|device| device.index == index);
                    (index, hear(device.expect("one of this thread"), stage, &bytes, now))
                })
                .collect(),
        };
        if report.send(spoken).is_err() {
            return;
        }
    }
}

fn enter(world: &World, device: &mut Actor, spec: &RoundSpec, now: Now) -> (usize, Vec<Said>) {
    device.enter(world, spec, now.steady_ms).expect("nothing speaks against it");
    let playing = device.playing.as_mut().expect("it has just entered");
    (device.index, playing.outbox.drain(..).collect())
}

fn hear(device: &mut Actor, stage: Stage, bytes: &[u8], now: Now) -> Vec<Said> {
    let now = device.now(now.steady_ms);
    let playing = device.playing.as_mut().expect("it entered");
    playing.wire.hear(stage, bytes, now).expect("the aggregator is honest")
}
