//! Claims about classes of service.

use super::*;

const fn times(thousandths: u32) -> Option<Permille> {
    Permille::new(thousandths)
}

#[test]
fn a_class_is_written_as_it_is_read_in_any_case() {
    for class in Class::ALL {
        assert_eq!(class.to_string().parse(), Ok(class));
        assert_eq!(class.to_string().to_uppercase().parse(), Ok(class));
    }
    assert!("platinum".parse::<Class>().unwrap_err().to_string().contains("silver or gold"));
}

#[test]
fn a_later_class_promises_more() {
    assert!(Class::ALL.is_sorted_by_key(|class| class.availability()));
}

#[test]
fn the_cheapest_class_that_is_good_enough_is_sold() {
    let all = Catalogue { bronze: times(1_100), silver: times(1_500), gold: times(1_200) };
    assert_eq!(all.cheapest(Class::BestEffort), Some((Class::BestEffort, Permille::ONE)));
    assert_eq!(all.cheapest(Class::Bronze), times(1_100).map(|factor| (Class::Bronze, factor)));
    assert_eq!(all.cheapest(Class::Silver), times(1_200).map(|factor| (Class::Gold, factor)));
    let gold = Catalogue { gold: times(1_000), ..Catalogue::NONE };
    assert_eq!(gold.cheapest(Class::BestEffort), Some((Class::Gold, Permille::ONE)));
}

#[test]
fn what_has_no_price_is_not_promised() {
    let none = Catalogue::NONE;
    assert_eq!(none.cheapest(Class::Bronze), None);
    assert_eq!(none.sold().collect::<Vec<_>>(), [(Class::BestEffort, Permille::ONE)]);
    let silver = Catalogue { silver: times(1_300), ..none };
    assert_eq!(silver.cheapest(Class::Gold), None);
    assert_eq!(silver.cheapest(Class::Bronze).map(|(class, _)| class), Some(Class::Silver));
}
