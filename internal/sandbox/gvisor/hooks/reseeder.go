package hooks

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
)

// Nothing that JavaScript can reach makes Node's OpenSSL reseed its generators.
// But Node loads native modules, and gives them its OpenSSL's functions; so the
// hook loads one that calls RAND_poll, which reseeds the primary generator: those
// of all threads are its children, notice it and follow (OpenSSL 1.1.1 and 3).
//
// That module is too small to need a C compiler in the build: the linker's work
// is done here. It needs no C library either and works with any.

// The symbols of the module, in the order of its table.
const (
	symPoll = iota + 1 // int RAND_poll(void)
	symInt             // napi_status napi_create_int32(env, value, *result)
	symMain            // what Node calls
	symbols
)

// names are those of the symbols.
func names() [symbols]string {
	return [symbols]string{symPoll: "RAND_poll", symInt: "napi_create_int32", symMain: "napi_register_module_v1"}
}

// A machine is what differs between architectures.
type machine struct {
	id       elf.Machine
	globData uint32 // the relocation that stores a symbol's address
	// code is the module's function, which stands at address and calls through
	// the slots at poll and result:
	//
	//	napi_value napi_register_module_v1(napi_env env, napi_value exports) {
	//		napi_value result = NULL;
	//		napi_create_int32(env, RAND_poll(), &result);
	//		return result;
	//	}
	code func(address, poll, result uint64) []byte
}

func machineOf(goarch string) (machine, error) {
	switch goarch {
	case "amd64":
		return machine{elf.EM_X86_64, uint32(elf.R_X86_64_GLOB_DAT), codeAMD64}, nil
	case "arm64":
		return machine{elf.EM_AARCH64, uint32(elf.R_AARCH64_GLOB_DAT), codeARM64}, nil
	}
	return machine{}, fmt.Errorf("make node module: no code for %s", goarch)
}

func codeAMD64(address, poll, result uint64) []byte {
	code := []byte{
		0x53,                   // push rbx
		0x48, 0x83, 0xec, 0x10, // sub rsp, 16
		0x48, 0x89, 0xfb, // mov rbx, rdi
		0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, // mov qword [rsp], 0
	}
	call := func(slot uint64) {
		code = append(code, 0xff, 0x15) // call [rip + ...]
		next := address + uint64(len(code)) + 4
		code = binary.LittleEndian.AppendUint32(code, uint32(slot-next))
	}
	call(poll)
	code = append(code,
		0x48, 0x89, 0xdf, // mov rdi, rbx
		0x89, 0xc6, // mov esi, eax
		0x48, 0x89, 0xe2, // mov rdx, rsp
	)
	call(result)
	return append(code,
		0x48, 0x8b, 0x04, 0x24, // mov rax, [rsp]
		0x48, 0x83, 0xc4, 0x10, // add rsp, 16
		0x5b, // pop rbx
		0xc3, // ret
	)
}

func codeARM64(address, poll, result uint64) []byte {
	var code []byte
	add := func(instructions ...uint32) {
		for _, i := range instructions {
			code = binary.LittleEndian.AppendUint32(code, i)
		}
	}
	call := func(slot uint64) {
		offset := uint32(slot - address - uint64(len(code)))
		add(
			0x10000009|offset&3<<29|offset>>2&0x7ffff<<5, // adr x9, slot
			0xf9400129, // ldr x9, [x9]
			0xd63f0120, // blr x9
		)
	}
	add(
		0xa9be7bfd, // stp x29, x30, [sp, #-32]!
		0x910003fd, // mov x29, sp
		0xa9017ff3, // stp x19, xzr, [sp, #16]
		0xaa0003f3, // mov x19, x0
	)
	call(poll)
	add(
		0x2a0003e1, // mov w1, w0
		0xaa1303e0, // mov x0, x19
		0x910063e2, // add x2, sp, #24
	)
	call(result)
	add(
		0xf9400fe0, // ldr x0, [sp, #24]
		0xf9400bf3, // ldr x19, [sp, #16]
		0xa8c27bfd, // ldp x29, x30, [sp], #32
		0xd65f03c0, // ret
	)
	return code
}

const (
	programs = 4        // headers
	dataGap  = 0x1_0000 // the largest page there is: data lies on another one than code
	slots    = 2
)

// reseeder returns the module as an ELF shared object.
func reseeder(goarch string) ([]byte, error) {
	m, err := machineOf(goarch)
	if err != nil {
		return nil, err
	}
	var text []byte // dynamic string table
	var table [symbols]elf.Sym64
	for i, name := range names() {
		table[i].Name = uint32(len(text))
		table[i].Info = elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)
		text = append(append(text, name...), 0)
	}
	table[0] = elf.Sym64{}

	// Where everything is. Addresses of what is read only are offsets in the file.
	at := uint64(binary.Size(elf.Header64{}) + programs*binary.Size(elf.Prog64{}))
	place := func(size int) (address uint64) {
		address = at
		at = (at + uint64(size) + 15) &^ 15
		return address
	}
	symtab := place(binary.Size(table))
	strtab := place(len(text))
	hash := place(4 * (2 + 1 + symbols))
	rela := place(slots * binary.Size(elf.Rela64{}))
	code := place(len(m.code(0, 0, 0)))
	data := at
	got := data + dataGap
	dynamic := got + 8*slots

	table[symMain].Shndx = 1 // anything but undefined
	table[symMain].Value = code
	table[symMain].Size = uint64(len(m.code(0, 0, 0)))
	relocations := [slots]elf.Rela64{
		{Off: got, Info: elf.R_INFO(symPoll, m.globData)},
		{Off: got + 8, Info: elf.R_INFO(symInt, m.globData)},
	}
	entries := []elf.Dyn64{
		{Tag: int64(elf.DT_HASH), Val: hash},
		{Tag: int64(elf.DT_SYMTAB), Val: symtab},
		{Tag: int64(elf.DT_SYMENT), Val: uint64(binary.Size(elf.Sym64{}))},
		{Tag: int64(elf.DT_STRTAB), Val: strtab},
		{Tag: int64(elf.DT_STRSZ), Val: uint64(len(text))},
		{Tag: int64(elf.DT_RELA), Val: rela},
		{Tag: int64(elf.DT_RELASZ), Val: uint64(binary.Size(relocations))},
		{Tag: int64(elf.DT_RELAENT), Val: uint64(binary.Size(elf.Rela64{}))},
		{Tag: int64(elf.DT_NULL)},
	}
	size := uint64(8*slots + binary.Size(entries)) // of the data
	headers := [programs]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Filesz: data, Memsz: data, Align: dataGap},
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Off: data, Vaddr: got, Paddr: got, Filesz: size, Memsz: size, Align: dataGap},
		{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R | elf.PF_W), Off: data + 8*slots, Vaddr: dynamic, Paddr: dynamic, Filesz: size - 8*slots, Memsz: size - 8*slots, Align: 8},
		{Type: uint32(elf.PT_GNU_STACK), Flags: uint32(elf.PF_R | elf.PF_W), Align: 16},
	}

	var out bytes.Buffer
	put := func(address uint64, v any) error {
		out.Write(make([]byte, int(address)-out.Len()))
		return binary.Write(&out, binary.LittleEndian, v)
	}
	for _, part := range []struct {
		at uint64
		v  any
	}{
		{0, header(m)},
		{uint64(binary.Size(elf.Header64{})), headers},
		{symtab, table},
		{strtab, text},
		{hash, hashTable()},
		{rela, relocations},
		{code, m.code(code, got, got+8)},
		{data, [slots]uint64{}},
		{data + 8*slots, entries},
	} {
		if err := put(part.at, part.v); err != nil {
			return nil, fmt.Errorf("make node module: %w", err)
		}
	}
	return out.Bytes(), nil
}

func header(m machine) elf.Header64 {
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(m.id), Version: uint32(elf.EV_CURRENT),
		Phoff:  uint64(binary.Size(elf.Header64{})),
		Ehsize: uint16(binary.Size(elf.Header64{})), Phentsize: uint16(binary.Size(elf.Prog64{})), Phnum: programs,
	}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS] = byte(elf.ELFCLASS64)
	h.Ident[elf.EI_DATA] = byte(elf.ELFDATA2LSB)
	h.Ident[elf.EI_VERSION] = byte(elf.EV_CURRENT)
	return h
}

// hashTable has one bucket with a chain through all symbols.
func hashTable() []uint32 {
	table := []uint32{1, symbols, 1, 0}
	for i := 1; i < symbols; i++ {
		table = append(table, uint32(i+1)%symbols)
	}
	return table
}
