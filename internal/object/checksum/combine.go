package checksum

import "encoding/binary"

// A CRC is a remainder of polynomials over GF(2), so the CRC of two runs of bytes
// follows from theirs: multiply the first by x^(8·length of the second), modulo
// the generator, and add the second. The conditioning (ones before, inversion
// after) cancels out. Polynomials are held bit-reversed, as the tables of the
// standard library are: the highest bit is the coefficient of x^0.
type field struct {
	poly uint64
	bits uint
}

func fieldOf(a Algorithm) field {
	switch a {
	case CRC32:
		return field{poly: poly32, bits: 32}
	case CRC32C:
		return field{poly: poly32C, bits: 32}
	}
	return field{poly: poly64NVME, bits: 64}
}

// multiply returns a·b modulo the generator.
func (f field) multiply(a, b uint64) uint64 {
	var product uint64
	for bit := uint64(1) << (f.bits - 1); a != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
			a &^= bit
		}
		if b&1 != 0 {
			b = b>>1 ^ f.poly
		} else {
			b >>= 1
		}
	}
	return product
}

// powers returns x^(8·2^i) for every i a length in bytes can need.
func (f field) powers() [63]uint64 {
	var table [63]uint64
	power := uint64(1) << (f.bits - 1 - 8) // x^8
	for i := range table {
		table[i] = power
		power = f.multiply(power, power)
	}
	return table
}

func combine(a Algorithm, parts []Part) []byte {
	f := fieldOf(a)
	powers := f.powers()
	var whole, shift uint64
	length := int64(-1)
	for i, p := range parts {
		sum := decode(p.Sum)
		if i == 0 {
			whole = sum
			continue
		}
		// All parts but the last are mostly of one length.
		if p.Size != length {
			length, shift = p.Size, uint64(1)<<(f.bits-1)
			for bit := range powers {
				if length>>bit&1 != 0 {
					shift = f.multiply(powers[bit], shift)
				}
			}
		}
		whole = f.multiply(shift, whole) ^ sum
	}
	return encode(whole, a.Size())
}

func decode(sum []byte) uint64 {
	if len(sum) == 4 {
		return uint64(binary.BigEndian.Uint32(sum))
	}
	return binary.BigEndian.Uint64(sum)
}

func encode(sum uint64, size int) []byte {
	if size == 4 {
		return binary.BigEndian.AppendUint32(nil, uint32(sum))
	}
	return binary.BigEndian.AppendUint64(nil, sum)
}
