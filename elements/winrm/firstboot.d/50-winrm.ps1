# Makes WinRM listen: over HTTPS with a certificate of this machine's own, over HTTP if DIB_WINRM_HTTP is 1.
$ErrorActionPreference = 'Stop'
try {
    Start-Service -Name WinRM
    $listeners = @(Get-ChildItem -Path WSMan:\localhost\Listener)
    if (-not ($listeners | Where-Object { $_.Keys -contains 'Transport=HTTPS' })) {
        $certificate = New-SelfSignedCertificate -DnsName $env:COMPUTERNAME -CertStoreLocation Cert:\LocalMachine\My
        $https = @{
            Path = 'WSMan:\localhost\Listener'
            Transport = 'HTTPS'
            Address = '*'
            CertificateThumbPrint = $certificate.Thumbprint
        }
        New-Item @https -Force | Out-Null
    }
    if (($env:DIB_WINRM_HTTP -eq '1') -and -not ($listeners | Where-Object { $_.Keys -contains 'Transport=HTTP' })) {
        New-Item -Path WSMan:\localhost\Listener -Transport HTTP -Address '*' -Force | Out-Null
    }
    if ($env:DIB_WINRM_BASIC -eq '1') {
        Set-Item -Path WSMan:\localhost\Service\Auth\Basic -Value $true -Force
    }
}
catch {
    Write-Output $_
    exit 1
}
exit 0
