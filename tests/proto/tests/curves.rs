// SPDX-License-Identifier: GPL-2.0

//! X448 and P-521 (rust/crypto/curves) against RFC 7748 and the known answers of kat/tcpcrypt_kat.py.

mod vectors;

use tcpcrypt_proto_tests::curves::{
    p521::{is_scalar, Point},
    x448::{x448, BASE},
};
use vectors::{hex, Vectors};

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex(text).try_into().unwrap()
}

fn multiply(scalar: &[u8; 56], u: &[u8; 56]) -> [u8; 56] {
    let mut out = [0xaa; 56];
    x448(scalar, u, &mut out);
    out
}

/// RFC 7748, 5.2.
#[test]
fn x448_of_the_rfc() {
    for (scalar, u, out) in [
        (
            "3d262fddf9ec8e88495266fea19a34d28882acef045104d0d1aae121\
             700a779c984c24f8cdd78fbff44943eba368f54b29259a4f1c600ad3",
            "06fce640fa3487bfda5f6cf2d5263f8aad88334cbd07437f020f08f9\
             814dc031ddbdc38c19c6da2583fa5429db94ada18aa7a7fb4ef8a086",
            "ce3e4ff95a60dc6697da1db1d85e6afbdf79b50a2412d7546d5f239f\
             e14fbaadeb445fc66a01b0779d98223961111e21766282f73dd96b6f",
        ),
        (
            "203d494428b8399352665ddca42f9de8fef600908e0d461cb021f8c5\
             38345dd77c3e4806e25f46d3315c44e0a5b4371282dd2c8d5be3095f",
            "0fbcc2f993cd56d3305b0b7d9e55d4c1a8fb5dbb52f8e9a1e9b6201b\
             165d015894e56c4d3570bee52fe205e28a78b91cdfbde71ce8d157db",
            "884a02576239ff7a2f2f63b2db6a9ff37047ac13568e1e30fe63c4a7\
             ad1b3ee3a5700df34321d62077e63633c575c1c954514e99da7c179d",
        ),
    ] {
        assert_eq!(multiply(&array(scalar), &array(u)), array(out));
    }
}

fn iterate(times: usize) -> [u8; 56] {
    let (mut k, mut u) = (BASE, BASE);
    for _ in 0..times {
        (k, u) = (multiply(&k, &u), k);
    }
    k
}

/// RFC 7748, 5.2.
#[test]
fn x448_iterated() {
    let once = "3f482c8a9f19b01e6c46ee9711d9dc14fd4bf67af30765c2ae2b846a\
                4d23a8cd0db897086239492caf350b51f833868b9bc2b3bca9cf4113";
    let thousand = "aa3b4749d55b9daf1e5b00288826c467274ce3ebbdd5c17b975e09d4\
                    af6c67cf10d087202db88286e2b79fceea3ec353ef54faa26e219f38";
    assert_eq!(iterate(1), array(once));
    assert_eq!(iterate(1000), array(thousand));
}

/// RFC 7748, 5.2. Takes minutes: in a heavy run only.
#[test]
#[ignore = "takes minutes"]
fn x448_iterated_a_million_times() {
    let million = "077f453681caca3693198420bbe515cae0002472519b3e67661a7e89\
                   cab94695c8f4bcd66e61b9b9c946da8d524de3d69bd9d9d66b997e37";
    assert_eq!(iterate(1_000_000), array(million));
}

/// RFC 7748, 6.2.
#[test]
fn x448_agrees() {
    let a = array(
        "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28d\
         d9c9baf574a9419744897391006382a6f127ab1d9ac2d8c0a598726b",
    );
    let b = array(
        "1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d\
         6927c120bb5ee8972b0d3e21374c9c921b09d1b0366f10b65173992d",
    );
    let public_a = array(
        "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c\
         22c5d9bbc836647241d953d40c5b12da88120d53177f80e532c41fa0",
    );
    let public_b = array(
        "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b430\
         27d8b972fc3e34fb4232a13ca706dcb57aec3dae07bdc1c67bf33609",
    );
    let shared = array(
        "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282b\
         b60c0b56fd2464c335543936521c24403085d59a449a5037514a879d",
    );
    assert_eq!(multiply(&a, &BASE), public_a);
    assert_eq!(multiply(&b, &BASE), public_b);
    assert_eq!(multiply(&a, &public_b), shared);
    assert_eq!(multiply(&b, &public_a), shared);
}

#[test]
fn x448_computes_the_known_answers() {
    let v = Vectors::load();
    for i in 0..16 {
        let get = |what| v.get(&format!("agree.x448.{i}.{what}"));
        let array = |what| get(what).try_into().unwrap();
        assert_eq!(multiply(&array("private_a"), &BASE), array("public_a"));
        assert_eq!(multiply(&array("private_b"), &BASE), array("public_b"));
        let (a, b) = (array("private_a"), array("private_b"));
        assert_eq!(multiply(&a, &array("public_b")), array("es"));
        assert_eq!(multiply(&b, &array("public_a")), array("es"));
    }
}

/// p + `small` of Curve448, little-endian.
fn p448(small: i8) -> [u8; 56] {
    let mut bytes = [0xff; 56];
    bytes[28] = 0xfe;
    match small {
        1.. => {
            // p + 1 = 2^448 - 2^224
            bytes = [0; 56];
            bytes[28..].fill(0xff);
            bytes[0] = u8::try_from(small).unwrap() - 1;
        }
        _ => bytes[0] = bytes[0].wrapping_add_signed(small),
    }
    bytes
}

/// 0, 1 and -1 (RFC 7748, 7), and the same not reduced.
#[test]
fn x448_of_a_point_of_small_order_is_zero() {
    let mut one = [0; 56];
    one[0] = 1;
    for u in [[0; 56], one, p448(-1), p448(0), p448(1)] {
        for scalar in [[0; 56], [0x42; 56], [0xff; 56]] {
            assert_eq!(multiply(&scalar, &u), [0; 56], "{u:x?}");
        }
    }
    assert_ne!(multiply(&[0x42; 56], &p448(2)), [0; 56]);
}

#[test]
fn x448_reduces_the_coordinate() {
    for small in 2..127 {
        let mut reduced = [0; 56];
        reduced[0] = u8::try_from(small).unwrap();
        let scalar = [reduced[0]; 56];
        assert_eq!(multiply(&scalar, &p448(small)), multiply(&scalar, &reduced));
    }
}

#[test]
fn x448_clamps_the_scalar() {
    let mut scalar = [0x5a; 56];
    let expected = multiply(&scalar, &BASE);
    scalar[0] ^= 3;
    assert_eq!(multiply(&scalar, &BASE), expected);
    scalar[55] ^= 0x80;
    assert_eq!(multiply(&scalar, &BASE), expected);
    scalar[55] ^= 0x40;
    assert_ne!(multiply(&scalar, &BASE), expected);
}

/// The x coordinate and the sign of y of the product.
fn product(scalar: &[u8; 66], point: &Point) -> ([u8; 66], bool) {
    let mut x = [0xaa; 66];
    let y_is_odd = point.multiply(scalar).unwrap().compress(&mut x);
    (x, y_is_odd)
}

/// The point of a message's field.
fn point(field: &[u8]) -> Option<Point> {
    assert_eq!(field[..2], [0, 69]);
    Point::decompress(field[3..].try_into().unwrap(), field[2] == 3)
}

#[test]
fn p521_computes_the_known_answers() {
    let v = Vectors::load();
    let base = Point::base().unwrap();
    let mut odd = 0;
    for i in 0..16 {
        let get = |what: &str| v.get(&format!("agree.p521.{i}.{what}"));
        for (own, other) in [("a", "b"), ("b", "a")] {
            let private: [u8; 66] = get(&format!("private_{own}")).try_into().unwrap();
            assert!(is_scalar(&private));
            let public = get(&format!("public_{own}"));
            let (x, y_is_odd) = product(&private, &base);
            assert_eq!((&x[..], 2 + u8::from(y_is_odd)), (&public[3..], public[2]));
            odd += u8::from(y_is_odd);
            let peer = point(&get(&format!("public_{other}"))).unwrap();
            assert_eq!(product(&private, &peer).0[..], get("es"));
        }
    }
    assert!((1..32).contains(&odd));
}

const ORDER: &str = "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa\
                     51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409";

/// `small` more than the order of P-521.
fn order(small: i8) -> [u8; 66] {
    let mut scalar: [u8; 66] = array(ORDER);
    scalar[65] = scalar[65].checked_add_signed(small).unwrap();
    scalar
}

fn small(value: u8) -> [u8; 66] {
    let mut scalar = [0; 66];
    scalar[65] = value;
    scalar
}

#[test]
fn p521_scalars_are_from_one_to_the_order() {
    for scalar in [small(0), order(0), order(1), [0xff; 66]] {
        assert!(!is_scalar(&scalar), "{scalar:x?}");
    }
    let mut high = [0; 66];
    high[0] = 1;
    for scalar in [small(1), small(255), high, order(-1), order(-9)] {
        assert!(is_scalar(&scalar), "{scalar:x?}");
    }
    // Larger in one place, smaller in another.
    let mut scalar = order(0);
    scalar[0] = 2;
    scalar[65] = 0;
    assert!(!is_scalar(&scalar));
    let mut scalar = [0xff; 66];
    scalar[0] = 0;
    assert!(is_scalar(&scalar));
}

#[test]
fn p521_multiplies_by_the_smallest_and_the_largest_scalars() {
    let base = Point::base().unwrap();
    let (x, y_is_odd) = product(&small(1), &base);
    assert!(!y_is_odd);
    assert_eq!(product(&order(-1), &base), (x, true));
    // k + 1 is -(n - k - 1), of which the ladder has other intermediate values.
    for k in 2..9 {
        let (positive, negative) = (small(k), order(-i8::try_from(k).unwrap()));
        let (x, y_is_odd) = product(&positive, &base);
        assert_eq!(product(&negative, &base), (x, !y_is_odd));
    }
    assert_eq!(product(&order(0), &base), ([0; 66], false));
    assert_eq!(product(&small(0), &base), ([0; 66], false));
    assert_eq!(product(&order(1), &base), (x, false));
}

#[test]
fn p521_multiplication_is_that_of_a_group() {
    let base = Point::base().unwrap();
    let times = |k, point: &Point| point.multiply(&small(k)).unwrap();
    let mut x = [[0; 66]; 2];
    let six = times(3, &times(2, &base)).compress(&mut x[0]);
    assert_eq!(times(6, &base).compress(&mut x[1]), six);
    assert_eq!(x[0], x[1]);
}

#[test]
fn p521_points_are_validated() {
    // By a naked eye: some have a point and some have none.
    let found = (1..100).filter(|x| Point::decompress(&small(*x), false).is_some());
    assert!((30..70).contains(&found.count()));
    for x in 1..100 {
        let both = [false, true].map(|odd| Point::decompress(&small(x), odd));
        assert_eq!(both[0].is_some(), both[1].is_some());
        for (point, odd) in both.iter().zip([false, true]) {
            if let Some(point) = point {
                assert_eq!(product(&small(1), point), (small(x), odd));
            }
        }
    }
    // p + x for each x that has one: not reduced, and refused whether it has 521 bits or more.
    let mut above: [u8; 66] = [0; 66];
    above[0] = 2;
    for x in 0..100 {
        above[65] = x;
        assert!(Point::decompress(&above, false).is_none());
    }
    let mut p = [0xff; 66];
    p[0] = 1;
    assert!(Point::decompress(&p, false).is_none());
    assert!(Point::decompress(&[0xff; 66], true).is_none());
}
