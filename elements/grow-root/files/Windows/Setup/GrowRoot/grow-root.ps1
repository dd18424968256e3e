# Grows C: to the end of its disk. A recovery partition behind it is in the way: what it holds moves to C: first.
$ErrorActionPreference = 'Stop'
$recovery = '{de94bba4-06d1-4d40-a16a-bfd50179d6ac}'
try {
    $letter = $env:SystemDrive.Substring(0, 1)
    Update-HostStorageCache
    $root = Get-Partition -DriveLetter $letter
    $behind = @(Get-Partition -DiskNumber $root.DiskNumber | Where-Object { $_.Offset -gt $root.Offset })
    $others = @($behind | Where-Object { ($_.GptType -ne $recovery) -and ($_.MbrType -ne 0x27) })
    if ($others.Count -gt 0) {
        Write-Output "Partition $($others[0].PartitionNumber) stands behind C: and is no recovery partition: C: stays as it is."
        exit 0
    }
    if ($behind.Count -gt 0) {
        & "$env:SystemRoot\System32\reagentc.exe" /disable
        if (-not (Test-Path -Path "$env:SystemRoot\System32\Recovery\Winre.wim")) {
            Write-Output 'The recovery environment has not moved to C:; it is lost with its partition.'
        }
        $behind | Remove-Partition -Confirm:$false
    }
    $largest = (Get-PartitionSupportedSize -DriveLetter $letter).SizeMax
    if (($largest - $root.Size) -gt 1048576) {
        Resize-Partition -DriveLetter $letter -Size $largest
        Write-Output "C: has $largest bytes."
    }
    if ($behind.Count -gt 0) {
        & "$env:SystemRoot\System32\reagentc.exe" /enable
    }
}
catch {
    Write-Output $_
    exit 1
}
exit 0
