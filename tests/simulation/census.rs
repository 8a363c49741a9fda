//! What the runs have met: a rule that was never put to the test has not been tested.

macro_rules! census {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// How often each thing happened.
        #[derive(Clone, Debug, Default)]
        pub(crate) struct Census {
            $($(#[$doc])* pub(crate) $field: u64,)*
        }

        impl Census {
            /// Each count, with its name.
            pub(crate) fn rows(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($field), self.$field),)*]
            }

            /// Adds the counts of another run.
            pub(crate) fn add(&mut self, other: &Self) {
                $(self.$field += other.$field;)*
            }
        }
    };
}

census! {
    /// Services of which every machine got its place.
    services_placed,
    /// Services that were refused, with a reason for each machine.
    services_refused,
    /// Services that were taken down.
    services_ended,
    /// Components of services that were given another number of machines.
    services_scaled,
    /// Machines that ended up at home.
    machines_here,
    /// Machines that ended up at a peer.
    machines_there,
    /// Calls for offers.
    calls,
    /// Offers made.
    offers,
    /// Calls that were answered with a refusal.
    refusals,
    /// Acceptances that became agreements.
    agreements,
    /// Acceptances that came too late.
    lapses,
    /// Offers that were not taken.
    declines,
    /// Calls refused because the buyer would have exceeded its credit.
    over_credit,
    /// Calls refused because what was left is kept for own tenants.
    reserved,
    /// Calls refused for the size or the number of the buyer's machines.
    bounded,
    /// Calls refused because the seller promises too little.
    class_not_sold,
    /// Calls refused because the seller does not sell to the buyer.
    not_served,
    /// Peers that were removed.
    peers_removed,
    /// Removals that were refused, since machines stood in the way.
    removals_refused,
    /// Removed peers that were added again.
    peers_added_again,
    /// Changes of what a peer is allowed.
    policies_changed,
    /// Last words to removed peers.
    farewells,
    /// Peers that were drained.
    peers_drained,
    /// New terms that providers proposed.
    proposals,
    /// Agreements that were renewed.
    renewals,
    /// Proposals that were too dear for their home.
    renewals_declined,
    /// Words that an agreement ends.
    terminations,
    /// Agreements that an operator ended.
    agreements_terminated,
    /// Deliveries that were turned away at the gate, as a stranger's.
    strangers,
    /// Tenants' requests that a site refused.
    asks_refused,
    /// Tenants' requests that were repeated, since no answer had come.
    asks_repeated,
    /// Verbs to machines at home.
    verbs_here,
    /// Verbs to machines at peers.
    verbs_there,
    /// Networks that reached another site.
    networks_joined,
    /// Networks that are routed with others and reached another site.
    networks_routed,
    /// Security groups of which another site was told.
    groups_told,
    /// Machines that were handed user data at another site.
    machines_handed,
    /// Networks of which nothing was left at another site.
    networks_left,
    /// Sites that were told how another one is reached on a network of a third.
    sites_introduced,
    /// Messages that the network lost.
    messages_lost,
    /// Messages that it delivered twice.
    messages_doubled,
    /// Messages that it delivered before an older one.
    messages_reordered,
    /// Deliveries with an altered byte that were turned away.
    deliveries_altered,
    /// Deliveries from which a message was taken.
    deliveries_gapped,
    /// Cuts between groups of sites.
    partitions,
    /// Cuts in one direction only.
    partitions_one_way,
    /// Sites that lost their leader.
    leaders_lost,
    /// Sites that were cut off from all others.
    sites_isolated,
    /// What was submitted at such a site and ran there.
    served_alone,
    /// Nodes that did not reach the others of their site for a while.
    nodes_cut_off,
    /// Nodes that heard the others of their site and were not heard.
    nodes_mute,
    /// Nodes that were heard and did not hear.
    nodes_deaf,
    /// Leaders that went on leading and could decide nothing, since no answer reached them.
    leaders_deaf,
    /// Leaders that moved the lead to another node.
    leaders_moved,
    /// Nodes that joined their site in the middle of everything.
    nodes_joined,
    /// Learners that were given a vote.
    nodes_promoted,
    /// Looks at which the only voter kept that to itself, since guests had no end.
    votes_withheld,
    gateways_named,
    /// Nodes that were taken out.
    nodes_removed,
    /// Nodes that were to be taken out, and stayed, since guests stood in the way.
    removals_given_up,
    /// Nodes that lost their disk for good.
    disks_lost,
    /// Such nodes that were taken out, for others to be taken on.
    nodes_replaced,
    /// Proposals that were lost with a leader.
    proposals_lost,
    /// Proposals that survived it without their proposer learning of it.
    proposals_orphaned,
    /// Replicas that came back with their tables.
    replicas_reloaded,
    /// Replicas that were made again from the log.
    replicas_replayed,
    /// Nodes killed between two elementary steps of their host.
    hosts_interrupted,
    /// Hosts that were restarted with everything that ran on them.
    hosts_rebooted,
    /// Hypervisors that could not be reached for a while.
    hypervisors_lost,
    /// Looks of a host that had to wait for its node to catch up.
    hosts_behind,
    /// What hosts saw, and their leader was not told.
    observations_lost,
    /// What hosts saw, and their leader was told when they had looked again.
    observations_late,
    /// Leases granted to hosts.
    leases_granted,
    /// Sessions granted to providers.
    sessions_granted,
    /// Hosts whose lease had ended.
    hosts_ended,
    /// Providers whose session had ended.
    peers_ended,
    /// Guests that the fence stopped.
    guests_fenced,
    /// Guests that went on after that.
    guests_thawed,
    /// Machines that providers gave back because they had lost what ran them.
    machines_given_back,
    /// Steps of a hypervisor that failed.
    steps_failed,
    /// Guests that ended by themselves.
    guests_ended,
    /// Guests that started again after that.
    guests_restarted,
    /// First instructions of a guest.
    boots,
    /// Guests that went on from saved memory.
    resumptions,
    /// Guests that did not heed a request to shut down.
    shutdowns_ignored,
    /// Sites that forgot, in the end, what had ended.
    sites_tidied,
}
