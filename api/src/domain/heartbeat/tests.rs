//! One instance, however unlucky, is one; two copies of it are two within two heartbeats.

use super::*;

/// A source of chance that gives the same again for the same seed (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    fn token(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }
}

/// An instance that probes: what its database holds, and what its process knows.
#[derive(Clone, Default)]
struct Prober {
    step: i64,
    lines: Vec<Line>,
    declared: bool,
    chain: Option<Chain>,
    heard: Option<Told>,
}

impl Prober {
    /// Takes a step, and begins a line where it has none.
    fn take_step(&mut self, chance: &mut Chance) {
        let heard = self.heard.filter(|_| self.declared).map_or(0, |heard| heard.step);
        self.step = heard.max(self.step) + 1;
        let token = chance.token();
        let declared = std::mem::take(&mut self.declared);
        let same = self.chain.take().filter(|_| !declared).and_then(|chain| chain.go_on(self.step, token));
        self.chain = Some(same.unwrap_or_else(|| {
            let line = Line { id: token, since: self.step };
            self.lines.push(line);
            self.heard = None;
            Chain { mark: line.begin(), lines: self.lines.clone(), survivor: declared }
        }));
    }

    fn hear(&mut self, knows: Option<i64>) {
        let chain = self.chain.as_ref().unwrap();
        self.heard = knows.map(|step| chain.hear(step));
    }

    fn crash(&mut self) {
        self.chain = None;
        self.heard = None;
    }

    fn say(&self) -> Said {
        self.chain.as_ref().unwrap().say(self.heard)
    }

    /// Another node takes the lease, probes, and gives it back before this one asks for it again.
    fn is_relieved(&mut self, chance: &mut Chance) -> Said {
        let mut other = Self { chain: None, heard: None, ..self.clone() };
        other.take_step(chance);
        (self.step, self.lines) = (other.step, other.lines.clone());
        self.take_step(chance);
        other.say()
    }

    /// The process is killed and comes up again.
    fn restart(&mut self, chance: &mut Chance) {
        self.crash();
        self.take_step(chance);
    }
}

/// The peer: what it knows, and what of that its database holds.
#[derive(Default)]
struct Peer {
    known: Option<Mark>,
    saved: Option<Mark>,
}

impl Peer {
    /// Takes a probe; answers how far it knows the chain, or what does not fit.
    fn take(&mut self, said: &Said) -> Result<Option<i64>, Fork> {
        match said.judge(self.known.as_ref()) {
            Verdict::GoesOn => self.known = Some(said.mark),
            Verdict::Open => {}
            Verdict::Forked(fork) => return Err(fork),
        }
        Ok(self.known.map(|known| known.step))
    }
}

/// One interval of an undisturbed prober.
fn heartbeat(prober: &mut Prober, peer: &mut Peer, chance: &mut Chance) -> Result<(), Fork> {
    prober.take_step(chance);
    prober.hear(peer.take(&prober.say())?);
    Ok(())
}

/// Both have gone on for a while.
fn grown(chance: &mut Chance) -> (Prober, Peer) {
    let (mut prober, mut peer) = (Prober::default(), Peer::default());
    for n in 0..40 {
        if n % 9 == 0 {
            prober.crash();
        }
        assert_eq!(heartbeat(&mut prober, &mut peer, chance), Ok(()));
    }
    (prober, peer)
}

#[test]
fn loss_repetition_disorder_and_crashes_of_either_side_trip_nothing() {
    for seed in 1..=300 {
        let chance = &mut Chance(seed);
        let (mut prober, mut peer) = (Prober::default(), Peer::default());
        let (mut probes, mut answers): (Vec<Said>, Vec<Option<i64>>) = (Vec::new(), Vec::new());
        prober.take_step(chance);
        for probe in 0..200 {
            match chance.next() % 14 {
                0 | 1 => prober.take_step(chance),
                2 => prober.restart(chance),
                // The database took the step, and the process does not know it.
                3 => prober.step += 1,
                // It took the step, and the process died of it.
                4 => {
                    prober.step += 1;
                    prober.restart(chance);
                }
                5 => peer.known = peer.saved,
                6 => peer.saved = peer.known,
                7 => probes.push(prober.is_relieved(chance)),
                _ => {}
            }
            probes.push(prober.say());
            // Of what is on its way, any may arrive, be lost, or arrive and come again.
            while !probes.is_empty() && !chance.one_in(3) {
                let at = usize::try_from(chance.next()).unwrap_or_default() % probes.len();
                let said = if chance.one_in(4) { probes[at] } else { probes.swap_remove(at) };
                if chance.one_in(4) {
                    continue;
                }
                match peer.take(&said) {
                    Ok(knows) => answers.push(knows),
                    Err(fork) => panic!("seed {seed}, probe {probe}: {fork:?} by {said:?}"),
                }
            }
            // An answer belongs to a probe of this process, or nobody waits for it.
            while let Some(knows) = answers.pop() {
                let from_before = knows.is_some_and(|knows| knows > prober.chain.as_ref().unwrap().mark.step);
                assert!(!from_before, "seed {seed}: it hears of a step that it did not take");
                if !chance.one_in(4) {
                    prober.hear(knows);
                }
            }
        }
    }
}

/// How many heartbeats of each of the two pass until the peer sees that they are two.
fn heartbeats_until_noticed(
    one: &mut Prober,
    other: &mut Prober,
    peer: &mut Peer,
    chance: &mut Chance,
) -> Option<usize> {
    (1..=10).find(|_| heartbeat(other, peer, chance).is_err() || heartbeat(one, peer, chance).is_err())
}

#[test]
fn a_copy_beside_the_original_is_noticed_within_two_heartbeats() {
    for seed in 1..=200 {
        let chance = &mut Chance(seed);
        let (mut original, mut peer) = grown(chance);
        let mut copy = original.clone();
        for _ in 0..seed % 5 {
            heartbeat(&mut original, &mut peer, chance).unwrap();
        }
        // Of the database; or of the memory as well, as when a machine is copied while it runs.
        if seed % 2 == 0 {
            copy.crash();
        }
        let within = heartbeats_until_noticed(&mut original, &mut copy, &mut peer, chance);
        assert!(within.is_some_and(|heartbeats| heartbeats <= 2), "seed {seed}: {within:?}");
    }
}

#[test]
fn a_backup_that_is_older_than_what_was_seen_is_noticed_within_two_heartbeats() {
    for age in 1..=60 {
        let chance = &mut Chance(age);
        let (mut instance, mut peer) = grown(chance);
        let mut restored = instance.clone();
        for n in 1..=age {
            if n % 7 == 0 {
                instance.crash();
            }
            heartbeat(&mut instance, &mut peer, chance).unwrap();
        }
        restored.crash();
        let within = (1..=10).find(|_| heartbeat(&mut restored, &mut peer, chance).is_err());
        assert!(within.is_some_and(|heartbeats| heartbeats <= 2), "{age} steps old: {within:?}");
    }
}

#[test]
fn a_backup_that_went_on_alone_beyond_what_was_seen_is_noticed_within_two_heartbeats() {
    for age in 1..=20 {
        let chance = &mut Chance(age);
        let (mut instance, mut peer) = grown(chance);
        let mut restored = instance.clone();
        restored.crash();
        for _ in 1..=age {
            heartbeat(&mut instance, &mut peer, chance).unwrap();
            restored.take_step(chance);
        }
        restored.take_step(chance);
        restored.restart(chance);
        assert!(restored.say().mark.line.since > peer.known.unwrap().step);
        let within = (1..=10).find(|_| heartbeat(&mut restored, &mut peer, chance).is_err());
        assert!(within.is_some_and(|heartbeats| heartbeats <= 2), "{age} steps old: {within:?}");
    }
}

#[test]
fn a_confirmed_survivor_goes_on_once_the_peer_agrees_and_the_other_copy_does_not() {
    for age in 0..=20 {
        let chance = &mut Chance(age + 1);
        let (mut original, mut peer) = grown(chance);
        let mut copy = original.clone();
        for _ in 0..age {
            heartbeat(&mut original, &mut peer, chance).unwrap();
        }
        copy.crash();
        heartbeats_until_noticed(&mut original, &mut copy, &mut peer, chance).unwrap();
        // While it is suspected nothing becomes known, but the answers say what is.
        copy.hear(peer.known.map(|known| known.step));
        copy.declared = true;
        copy.take_step(chance);
        let said = copy.say();
        assert!(said.survivor && said.mark.line.since > peer.known.unwrap().step);
        peer.known = Some(said.mark.line.begin());
        for _ in 0..5 {
            assert_eq!(heartbeat(&mut copy, &mut peer, chance), Ok(()));
        }
        copy.crash();
        assert_eq!(heartbeat(&mut copy, &mut peer, chance), Ok(()));
        assert_eq!(heartbeat(&mut copy, &mut peer, chance), Ok(()));
        let noticed = (1..=10).find(|_| heartbeat(&mut original, &mut peer, chance).is_err());
        assert!(noticed.is_some_and(|heartbeats| heartbeats <= 2), "{noticed:?}");
    }
}
