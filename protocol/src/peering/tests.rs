//! Claims about policies: what people write is what is kept, and bounds are bounds.

use expect_test::expect;
use proptest::prelude::*;

use super::*;
use crate::manifest::OnPartition;
use crate::sla::Catalogue;
use crate::units::{Currency, Mebibytes};

const fn size(vcpus: u32) -> Size {
    Size { vcpus, memory: Mebibytes(1_024), disk: Mebibytes(2_048) }
}

#[test]
fn a_policy_is_written_as_it_is_read() {
    let settings = [
        Setting::SellsTo(false),
        Setting::PriceFactor("1.2".parse().unwrap()),
        Setting::Credit(Some(Micros(5_000_000))),
        Setting::Largest(Some(size(4))),
        Setting::MachinesMax(Some(10)),
        Setting::Term(Span::from_secs(7 * 86_400)),
        Setting::Notice(Span::from_secs(90)),
        Setting::Retention(Span::from_secs(14 * 86_400)),
        Setting::SellsHold(false),
        Setting::BuysFrom(true),
        Setting::PriceMax(None),
        Setting::Preference(Permille::ONE),
    ];
    let text: Vec<String> = settings.iter().map(ToString::to_string).collect();
    expect![[r#"
        sells-to=no
        price-factor=1.200
        credit=5.000000
        largest=4,1024MiB,2048MiB
        machines-max=10
        term=7d
        notice=90s
        retention=14d
        sells-hold=no
        buys-from=yes
        price-max=none
        preference=1.000"#]]
    .assert_eq(&text.join("\n"));
    let read: Vec<Setting> = text.iter().map(|text| text.parse().unwrap()).collect();
    assert_eq!(read, settings);
    assert_eq!(Policy::OPEN.with(&settings).settings(), settings);
    let names: Vec<&str> = settings.iter().map(|setting| setting.written().0).collect();
    assert_eq!(names, Setting::NAMES);
}

#[test]
fn what_is_no_setting_is_refused_with_what_could_be() {
    let said: Vec<String> = [
        "credit",
        "colour=red",
        "credit=-1",
        "sells-to=perhaps",
        "price-factor=0",
        "preference=1001",
        "largest=4",
        "largest=4,1GiB,1GiB,1",
        "machines-max=1.5",
        "term=0s",
        "term=367d",
        "notice=10",
        "notice=+1m",
    ]
    .iter()
    .map(|text| text.parse::<Setting>().unwrap_err().to_string())
    .collect();
    expect![[r#"
        'credit' is no setting: write a name, '=' and a value, such as credit=5.00
        there is no setting 'colour'; there are sells-to, price-factor, credit, largest, machines-max, term, notice, retention, sells-hold, buys-from, price-max, preference
        '-1' cannot be the credit of a peer: write an amount for one hour, such as 5.00, or none
        'perhaps' cannot be the sells-to of a peer: write yes or no
        '0' cannot be the price-factor of a peer: write a factor with at most three decimals, such as 1.2
        '1001' cannot be the preference of a peer: write a factor with at most three decimals, such as 1.2
        '4' cannot be the largest of a peer: write processors, memory and disk, such as 4,8GiB,100GiB, or none
        '4,1GiB,1GiB,1' cannot be the largest of a peer: write processors, memory and disk, such as 4,8GiB,100GiB, or none
        '1.5' cannot be the machines-max of a peer: write a whole number, or none
        '0s' cannot be the term of a peer: write a time of a second or more, such as 30d, 12h, 10m or 90s
        '367d' cannot be the term of a peer: write a time of a second or more, such as 30d, 12h, 10m or 90s
        '10' cannot be the notice of a peer: write a time of a second or more, such as 30d, 12h, 10m or 90s
        '+1m' cannot be the notice of a peer: write a time of a second or more, such as 30d, 12h, 10m or 90s"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_share_is_no_more_than_the_whole() {
    assert_eq!("0.25".parse::<Reserve>().unwrap().sellable(size(8)).vcpus, 6);
    assert_eq!("1".parse::<Reserve>().unwrap().sellable(size(8)), Size::default());
    for text in ["1.001", "-1", "half", "0.0001"] {
        assert!(text.parse::<Reserve>().is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn whatever_is_allowed_one_after_the_other_stays_within_credit_and_number(
        credit in 0_u64..500,
        most in 0_u32..10,
        prices in prop::collection::vec(0_u64..100, 0..20),
    ) {
        let (credit, machines_max) = (Some(Micros(credit)), Some(most));
        let selling = Selling { credit, machines_max, ..Policy::OPEN.selling };
        let mut account = Account::default();
        for price in prices.into_iter().map(Micros) {
            if selling.allows(account, (size(1), OnPartition::Fence), price).is_ok() {
                account = account.plus(price);
            }
        }
        prop_assert!(account.hourly <= credit.unwrap() && account.machines <= most);
    }

    #[test]
    fn what_is_sold_and_what_is_kept_are_no_more_than_the_whole(
        share in 0_u32..=1_000,
        vcpus in any::<u32>(),
        memory in any::<u64>(),
    ) {
        let whole = Size { vcpus, memory: Mebibytes(memory), disk: Mebibytes(memory / 2) };
        let kept = Reserve(share);
        let sold = kept.sellable(whole);
        prop_assert!(whole.holds(sold));
        let least = u128::from(memory) * u128::from(share) / 1_000;
        prop_assert!(u128::from(memory - sold.memory.0) >= least);
    }

    #[test]
    fn a_factor_of_one_changes_no_price_and_a_larger_one_makes_none_smaller(
        amount in 0_u64..1_000_000,
        vcpus in 0_u32..64,
        factor in 1_000_u32..1_000_000,
    ) {
        let amount = Micros(amount);
        let tariff = Tariff {
            currency: Currency::EUR,
            vcpu_hour: amount,
            memory_gib_hour: amount,
            disk_gib_hour: amount,
            classes: Catalogue::NONE,
        };
        let plain = tariff.hourly(size(vcpus));
        prop_assert_eq!(tariff.hourly_for(size(vcpus), [Permille::ONE; 2]), plain);
        let dear = Permille::new(factor).unwrap();
        prop_assert!(tariff.hourly_for(size(vcpus), [dear, Permille::ONE]) >= plain);
    }
}
