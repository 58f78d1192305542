//! Drains of several nodes, what would come of them, maintenance, and waiting.

use thalweg::pool::NodeId;
use thalweg::steer::{SiteForecast, forecast};

use super::support::client::wait_for;
use super::support::daemon::{SERVER, Served};
use super::support::installation::{Installation, Load, Use, inputs, snapshot};
use super::{ZONE, installation, thalweg};

/// Three nodes at one place, one at the next.
fn fleet() -> Installation {
    let mut config = format!(
        "{SERVER}[service.\"play.live.example\"]\n[place.fra]\nat = [50.1, 8.7]\n[place.nyc]\nat = [40.7, -74]\n\
         [defaults.node]\ncapacity.egress = \"1Gbit/s\"\n"
    );
    for (index, (node, place, role)) in
        [("fra1", "fra", "edge"), ("fra2", "fra", "edge"), ("fra3", "fra", "spare"), ("nyc1", "nyc", "edge")]
            .into_iter()
            .enumerate()
    {
        config.push_str(&format!(
            "[node.{node}]\nplace = \"{place}\"\naddresses = [\"198.51.100.{}\"]\nlabels = {{ role = \"{role}\" }}\n",
            index + 1
        ));
    }
    Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)])
}

/// What becomes of the sites if the first so many nodes are drained, all nodes at this pressure.
fn foreseen(pressure: f64, drained: u16) -> Vec<SiteForecast> {
    let inputs = inputs(&fleet().config()).unwrap();
    let snapshot = snapshot(&inputs, |_| Load::Fresh(Use::Pressure(pressure)));
    let nodes: Vec<NodeId> = (0..drained).map(NodeId).collect();
    forecast(&snapshot.fleet, &snapshot.tables, &nodes)
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 0.02)
}

#[test]
fn the_load_of_drained_nodes_is_foreseen_at_the_others_of_their_place_while_these_have_room() {
    let sites = foreseen(0.3, 1);
    let [fra] = sites.as_slice() else { panic!("{sites:?}") };
    assert_eq!((fra.place.as_str(), fra.nodes), ("fra", [3, 2]));
    // Three at 0.3 are two at 0.45.
    assert!(near(fra.before, 0.3) && near(fra.after, 0.45) && !fra.is_overfull(), "{fra:?}");
    assert!(near(Some(fra.gains / 800.0), 0.3), "{fra:?}");
}

#[test]
fn what_a_place_has_no_room_for_is_foreseen_at_the_next_and_nothing_is_lost() {
    let sites = foreseen(0.6, 2);
    let [fra, nyc] = sites.as_slice() else { panic!("{sites:?}") };
    let all = 1.2 * 800.0;
    assert!((fra.gains + nyc.gains - all).abs() < 5.0 && nyc.gains > 100.0 && fra.gains > 100.0, "{sites:?}");
    assert!(near(fra.after, 0.6 + fra.gains / 800.0) && near(nyc.after, 0.6 + nyc.gains / 800.0), "{sites:?}");
    assert!(sites.iter().any(SiteForecast::is_overfull), "2.4 nodes' load is left to two");
}

#[test]
fn a_place_whose_nodes_all_go_has_nothing_left_and_the_last_of_a_pool_are_told() {
    let sites = foreseen(0.2, 3);
    let [fra, nyc] = sites.as_slice() else { panic!("{sites:?}") };
    assert_eq!((fra.after, fra.nodes), (None, [3, 0]));
    assert!(near(nyc.after, 0.8) && !nyc.is_overfull() && !fra.is_overfull(), "{nyc:?}");
    assert!(foreseen(0.2, 4).iter().all(|site| site.unserved == ["IPv4"] && site.is_overfull()));
}

#[test]
fn who_is_the_last_of_its_pool_over_one_family_is_told() {
    let config = format!(
        "{SERVER}[service.\"play.live.example\"]\n[place.fra]\nat = [50.1, 8.7]\n[defaults.node]\nplace = \"fra\"\n\
         [node.fra1]\naddresses = [\"198.51.100.1\", \"2001:db8::1\"]\n[node.fra2]\naddresses = [\"198.51.100.2\"]\n"
    );
    let inputs =
        inputs(&Installation::new([("thalweg.toml", config.as_str()), ("zones/live.example.zone", ZONE)]).config())
            .unwrap();
    let unserved = |drained: &str| {
        let snapshot = snapshot(&inputs, |_| Load::Fresh(Use::Pressure(0.2)));
        let node = snapshot.fleet.find_node(drained).unwrap();
        forecast(&snapshot.fleet, &snapshot.tables, &[node])
            .into_iter()
            .flat_map(|site| site.unserved)
            .collect::<Vec<_>>()
    };
    assert_eq!(unserved("fra1"), ["IPv6"]);
    assert!(unserved("fra2").is_empty());
}

#[test]
fn places_that_are_overloaded_anyhow_do_not_forbid_a_drain_elsewhere() {
    let inputs = inputs(&fleet().config()).unwrap();
    let busy = |node: &str| Load::Fresh(Use::Pressure(if node == "nyc1" { 1.2 } else { 0.2 }));
    let snapshot = snapshot(&inputs, busy);
    let sites = forecast(&snapshot.fleet, &snapshot.tables, &[NodeId(0)]);
    assert!(sites.iter().all(|site| !site.is_overfull()), "{sites:?}");
}

#[test]
fn nodes_are_drained_by_place_and_label_all_or_none_and_not_the_last_ones() {
    let installation = fleet();
    let served = Served::start(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let drained = || -> Vec<String> {
        let orders = &served.snapshot().tables.orders;
        orders.iter().map(|order| order.what.to_string()).collect()
    };
    let because = ["--reason", "a test"];
    let with = |arguments: &[&str]| run(&[arguments, &because].concat());

    let (status, text) = run(&["drain", "--place", "fra", "--dry-run"]);
    assert!(status == Some(0) && text.contains("would drain fra1, fra2, fra3") && text.contains("3 → 0"), "{text}");
    assert!(drained().is_empty());
    let (status, text) = with(&["drain", "fra1", "fra9"]);
    assert!(status == Some(1) && text.contains("no node is called `fra9`") && drained().is_empty(), "{text}");
    for (arguments, told) in [
        (["drain", "--place", "fre"], "did you mean `fra`?"),
        (["drain", "--label", "rolle=edge"], "did you mean `role`?"),
        (["drain", "--label", "role=egde"], "did you mean `edge`?"),
    ] {
        let (status, text) = with(&arguments);
        assert!(status == Some(1) && text.contains(told), "{text}");
    }
    let (status, text) = run(&["drain", "fra1", "--place", "fra", "--reason", "x"]);
    assert_eq!(status, Some(2), "{text}");

    let (status, text) = with(&["drain", "--label", "role=edge"]);
    assert!(status == Some(0) && text.contains("a restart of the server too"), "{text}");
    assert_eq!(drained(), ["drain fra1", "drain fra2", "drain nyc1"]);
    let (status, text) = with(&["drain", "fra3"]);
    assert!(status == Some(1) && text.contains("no node is left to serve it") && text.contains("--force"), "{text}");
    assert_eq!(drained().len(), 3);
    let (status, _) = with(&["drain", "fra3", "--force"]);
    assert_eq!((status, drained().len()), (Some(0), 4));
    let (status, text) = run(&["undrain", "--place", "fra"]);
    assert!(status == Some(0) && text.matches("lifted").count() == 3, "{text}");
    assert_eq!(drained(), ["drain nyc1"]);
}

#[test]
fn waiting_ends_with_its_time_and_leaves_the_drain_in_place() {
    let installation = installation();
    let served = Served::start(&installation);
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let wait = ["drain", "fra1", "--reason", "a test", "--wait", "clients<50"];
    let (status, text) = run(&[&wait[..], &["--timeout", "100ms"]].concat());
    assert!(status == Some(3) && text.contains("fra1 unknown") && text.contains("the drain stands"), "{text}");
    assert_eq!(served.snapshot().tables.orders.len(), 1);
    let (status, text) = run(&["drain", "fra1", "--reason", "x", "--wait", "clients>50"]);
    assert!(status == Some(2) && text.contains("write `clients<50`"), "{text}");
}

#[test]
fn maintenance_drains_its_nodes_while_it_is_on_and_says_so() {
    let installation = installation();
    let config = std::fs::read_to_string(installation.config()).unwrap();
    let maintenance = |until: &str, lead: &str| {
        format!(
            "{config}[maintenance.disks]\nplace = \"fra\"\nfrom = \"2099-01-01T00:00:00Z\"\nuntil = {until:?}\n\
             lead = {lead:?}\nreason = \"new disks\"\n[maintenance.always]\nnodes = [\"nyc1\"]\nfrom = 2020-01-01T00:00:00Z\n\
             until = 2090-01-01T00:00:00Z\nreason = \"old age\"\n"
        )
    };
    installation.write("thalweg.toml", &maintenance("2099-01-02T00:00:00Z", "1h"));
    let served = Served::start(&installation);
    let standing = |node: usize| served.snapshot().tables.nodes[node].standing.word();
    assert_eq!((standing(0), standing(1)), ("new", "drained"));
    let run = |arguments: &[&str]| thalweg(&installation, served.admin(), arguments);
    let (_, told) = run(&["explain", "play.live.example", "--client", "84.128.0.9"]);
    assert!(told.contains("drained for the maintenance always until 2090-01-01 00:00 UTC: old age"), "{told}");
    let (_, told) = run(&["status"]);
    assert!(told.contains("drain nyc1 for the maintenance always"), "{told}");
    let (_, told) = run(&["nodes"]);
    assert!(told.contains("drained for the maintenance always"), "{told}");
    assert!(served.metrics().contains("thalweg_drains 1.0"));
    let (status, told) = run(&["undrain", "nyc1"]);
    assert!(status == Some(1) && told.contains("is ended where it is configured"), "{told}");
    // A reload ends it.
    installation.write("thalweg.toml", &config);
    served.reload().unwrap();
    assert_eq!(standing(1), "new");
    wait_for("the event", || {
        let (_, told) = run(&["status"]);
        told.contains("maintenance always is over").then_some(())
    });
}
