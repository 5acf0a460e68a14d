//! Pages are shared, kept, given away and never lost.

use super::{Kind, PagePool, PageTable};

const GONE: u32 = kernels::Span::GONE;
const PLAIN: Kind = Kind { beyond: false, alone: false };

/// A table for `tokens`, all computed.
fn computed(pool: &mut PagePool, tokens: &[u32]) -> (PageTable, usize) {
    let (mut table, found) = pool.find(tokens, PLAIN);
    assert!(pool.grow(&mut table, tokens.len()));
    pool.remember(&mut table, tokens);
    (table, found)
}

#[test]
fn a_common_beginning_is_shared() {
    let mut pool = PagePool::new(4, 10);
    let (first, found) = computed(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!((found, pool.available()), (0, 7));
    let (second, found) = computed(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 0, 0]);
    assert_eq!((found, pool.available()), (8, 6));
    assert_eq!(first.pages[..2], second.pages[..2]);
    assert_ne!(first.pages[2], second.pages[2]);
    let (third, found) = computed(&mut pool, &[1, 2, 3, 4, 0, 6, 7, 8]);
    assert_eq!(found, 4);
    for table in [first, second, third] {
        pool.release(table);
    }
    assert_eq!((pool.available(), pool.kept()), (10, 3));
}

#[test]
fn the_last_token_is_always_computed() {
    let mut pool = PagePool::new(4, 10);
    let (table, _) = computed(&mut pool, &[1, 2, 3, 4]);
    pool.release(table);
    assert_eq!(pool.find(&[1, 2, 3, 4], PLAIN).1, 0);
    assert_eq!(pool.find(&[1, 2, 3, 4, 5], PLAIN).1, 4);
}

#[test]
fn what_is_held_is_not_given_away() {
    let mut pool = PagePool::new(2, 4);
    let (held, _) = computed(&mut pool, &[1, 2, 3, 4]);
    let (kept, _) = computed(&mut pool, &[5, 6, 7, 8]);
    pool.release(kept);
    let mut table = PageTable::default();
    assert!(!pool.grow(&mut table, 6), "only two pages are not held");
    assert_eq!(table, PageTable::default());
    assert!(pool.grow(&mut table, 4));
    assert!(table.pages.iter().all(|page| !held.pages.contains(page)));
    assert_eq!(pool.find(&[5, 6, 7, 8, 9], PLAIN).1, 0, "both kept pages were given away");
    assert_eq!(pool.find(&[1, 2, 3, 4, 9], PLAIN).1, 4);
}

#[test]
fn the_longest_unused_end_is_given_away_first() {
    let mut pool = PagePool::new(2, 4);
    for tokens in [[1, 2, 3, 4], [5, 6, 7, 8]] {
        let (table, _) = computed(&mut pool, &tokens);
        pool.release(table);
    }
    let mut table = PageTable::default();
    assert!(pool.grow(&mut table, 2));
    let (found, n) = pool.find(&[1, 2, 3, 4, 9], PLAIN);
    assert_eq!(n, 2, "the end of the older one went, its beginning stayed");
    pool.release(found);
    assert_eq!(pool.find(&[5, 6, 7, 8, 9], PLAIN).1, 4);
}

#[test]
fn two_that_compute_the_same_keep_one() {
    let mut pool = PagePool::new(2, 4);
    let (mut a, mut b) = (PageTable::default(), PageTable::default());
    assert!(pool.grow(&mut a, 2) && pool.grow(&mut b, 4));
    pool.remember(&mut a, &[1, 2]);
    pool.remember(&mut b, &[1, 2, 3, 4]);
    let pages = (a.pages.clone(), b.pages.clone());
    pool.release(b);
    pool.release(a);
    assert_eq!((pool.available(), pool.kept()), (4, 2));
    let (found, n) = pool.find(&[1, 2, 3, 4, 5], PLAIN);
    assert_eq!((n, found.pages), (4, vec![pages.0[0], pages.1[1]]));
}

#[test]
fn a_window_gives_back_what_it_has_left() {
    let mut pool = PagePool::new(2, 4);
    let (mut table, _) = computed(&mut pool, &[1, 2, 3, 4, 5, 6]);
    pool.leave_behind(&mut table, 5);
    assert_eq!(table.pages[..2], [GONE, GONE]);
    assert_eq!((pool.available(), pool.kept()), (3, 2));
    pool.leave_behind(&mut table, 5);
    assert_eq!(pool.available(), 3);
    pool.release(table);
    assert_eq!(pool.available(), 4);
}

/// Sequences that grow beside each other stay in a row as long as there is room.
#[test]
fn pages_of_a_sequence_lie_in_a_row() {
    let mut pool = PagePool::new(2, 64);
    let mut tables = [PageTable::default(), PageTable::default(), PageTable::default()];
    for tokens in 1..=24 {
        for table in &mut tables {
            assert!(pool.grow(table, tokens));
        }
    }
    for table in &tables {
        assert!(table.pages.windows(2).all(|pair| pair[1] == pair[0] + 1), "{table:?}");
    }
    // When there is no room left, every page is still found.
    let mut rest = PageTable::default();
    assert!(pool.grow(&mut rest, 2 * (64 - 3 * 12)));
    assert_eq!(pool.available(), 0);
}

#[test]
fn sequences_on_the_two_sides_of_a_turn_share_nothing() {
    let mut pool = PagePool::new(2, 8);
    for beyond in [false, true] {
        let (mut table, found) = pool.find(&[1, 2, 3, 4, 5], Kind { beyond, ..PLAIN });
        assert_eq!(found, 0, "what the other side has is not found");
        assert!(pool.grow(&mut table, 4));
        pool.remember(&mut table, &[1, 2, 3, 4]);
        pool.release(table);
    }
    let [short, long] =
        [false, true].map(|beyond| pool.find(&[1, 2, 3, 4, 5], Kind { beyond, ..PLAIN }));
    assert_eq!((short.1, long.1), (4, 4));
    assert!(short.0.pages.iter().all(|page| !long.0.pages.contains(page)));
}

#[test]
fn no_more_is_kept_than_may_be() {
    let mut pool = PagePool::new(2, 10).keeping(3);
    let (first, _) = computed(&mut pool, &[1, 2, 3, 4]);
    let (second, _) = computed(&mut pool, &[5, 6, 7, 8]);
    pool.release(first);
    pool.release(second);
    assert_eq!((pool.kept(), pool.available(), pool.stats().evicted), (3, 10, 1));
    assert_eq!(pool.find(&[1, 2, 3, 4, 9], PLAIN).1, 2, "the end of the older one went");
    let mut none = PagePool::new(2, 10).keeping(0);
    let (table, _) = computed(&mut none, &[1, 2, 3, 4]);
    none.release(table);
    assert_eq!((none.kept(), none.available()), (0, 10));
    assert_eq!(none.find(&[1, 2, 3, 4, 9], PLAIN).1, 0);
}

#[test]
fn what_was_never_handed_out_can_go() {
    let mut pool = PagePool::new(2, 10);
    let (table, _) = computed(&mut pool, &[1, 2, 3, 4, 5, 6]);
    assert_eq!((pool.resize(5), pool.available()), (5, 2));
    pool.release(table);
    assert_eq!(pool.resize(1), 3, "three pages were written");
    let mut all = PageTable::default();
    assert!(!pool.grow(&mut all, 8) && pool.resize(4) == 4 && pool.grow(&mut all, 8));
    pool.release(all);
    pool.renew(2);
    assert_eq!((pool.available(), pool.kept(), pool.touched()), (2, 0, 0));
    assert_eq!((pool.resize(1), pool.resize(3), pool.available()), (1, 3, 3));
}
